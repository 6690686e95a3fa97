"""Kill and stop publishers at random moments. The long run is `python -m benchmarks.faults.publishers`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import pipelines.publish.lease as leases
from benchmarks.faults import publishers
from benchmarks.faults.publishers import Outcome, Town, run
from models.settings.settings import Settings
from pipelines.publish.lease import Lease
from tests.stored import text


@pytest.fixture
def town(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    monkeypatch.setattr(leases, "LEASE_S", leases.LEASE_S)  # the run shortens it
    yield Town(settings, seed=3, users=400, startups=200)


def bad(outcome: Outcome) -> dict[str, int]:
    names = ("partial", "mixed", "next_failed", "keys_left", "keys_missing", "late_writes")
    return {name: getattr(outcome, name) for name in names if getattr(outcome, name)}


def test_a_publisher_killed_or_stopped_at_any_moment_harms_nobody(town: Town) -> None:
    outcome = run(town, kills=6, stops=4)
    assert bad(outcome) == {} and outcome.reads > 100
    assert (outcome.kills, outcome.stops) == (6, 4) and sum(outcome.moments.values()) == 6


def test_the_run_notices_what_it_is_there_for(town: Town) -> None:
    """The check must be able to fail: harm done by hand is counted."""
    outcome, client, keys = Outcome(), town.client, town.keys
    live = text(client, keys.current)
    client.set(f"{town.settings.namespace}:release:nobody", "x")
    client.delete(keys.manifest(live))
    assert town.keys_off() == (1, 1)

    reading = publishers.Reading(town, outcome)
    reading.start()
    while outcome.reads < 20 and reading.is_alive():
        time.sleep(0.01)
    reading.stop.set()
    reading.join()
    assert outcome.partial == outcome.reads and outcome.mixed == 0

    before = town.picture()
    late = Lease(client, keys, text(client, keys.fence))
    late.write("SET", [keys.manifest(live)], "anything")
    assert town.picture() != before


def test_the_table_names_every_count() -> None:
    text = Outcome(kills=2, reads=7, waits_s=[0.5, 2.0, 1.0]).table()
    assert "| reads | 7 |" in text and "median, most | 1.00, 2.00 |" in text
