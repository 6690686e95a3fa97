"""Drain any stream: store every valid event and reject the others with a reason."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from models.data.event import Event
from models.lists.redis_format import DRAIN_GROUP, Keys
from models.schema import EventType
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from tests.pipelines.conftest import Sql
from tests.stored import append, command

Fields = dict[Any, Any]
#: Seconds of fuzzing. FUZZ_SECONDS=600 gives a long run.
BUDGET_S = float(os.environ.get("FUZZ_SECONDS", "4"))
FAR = 18_446_744_073_709_551_615


def good(rng: random.Random) -> Event:
    """Make a valid event of any kind and time."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(0, 1_700_000_000))
    kind = rng.choice([k for k in EventType if k is not EventType.RETRACT])
    return Event(
        str(uuid.UUID(int=rng.getrandbits(128))),
        str(uuid.UUID(int=rng.getrandbits(128))),
        str(uuid.UUID(int=rng.getrandbits(128))),
        kind,
        at,
    )


def odd(rng: random.Random) -> str | bytes:
    """Make a value that is invalid in an event."""
    values: list[str | bytes] = [
        b"",
        b"\x00",
        b"\xff\xfe\x00",
        rng.randbytes(rng.randrange(1, 300)),
        "9" * rng.choice([1, 5, 5000]),
        "-1",
        "NaN",
        "٣",
        "²",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "x" * rng.choice([10, 200_000]),
        "{}",
        "null",
        "\u2028",
        "2024-02-30",
        "1e400",
        "\U0001f600" * 50,
    ]
    return rng.choice(values)


def bad(rng: random.Random) -> Fields:
    """Make an invalid entry: a field is changed, missing or repeated in another case, or all differ."""
    entry = Fields(good(rng).entry())
    name = rng.choice(["event_id", "user_id", "startup_id", "type"])
    way = rng.randrange(4)
    if way == 0:
        entry[name] = b"\xff" + rng.randbytes(rng.randrange(0, 60))
    elif way == 1:
        del entry[name]
    elif way == 2:
        entry[rng.choice([b"\xff\xfe", "weight", "", "at ", b"\x00"])] = odd(rng)
    else:
        return {rng.randbytes(3): odd(rng), "position": odd(rng)}
    return entry


def drained(settings: Settings, client: redis.Redis, keys: Keys) -> dict[str, Any]:
    done = drain_events(settings, claim_after_s=0)
    assert client.xlen(keys.events) == 0
    return done


def test_random_entries_of_any_id_stop_nothing(settings: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    seed, ends = random.randrange(1 << 30), time.monotonic() + BUDGET_S
    rng, taken, aside, rounds = random.Random(seed), set[str](), 0, 0
    while time.monotonic() < ends or not rounds:
        rounds += 1
        for _ in range(rng.randrange(1, 60)):
            if rng.random() < 0.5:
                event = good(rng)
                taken.add(event.event_id)
                append(client, keys, event.entry())
            else:
                append(client, keys, bad(rng))
                aside += 1
        if rng.random() < 0.3:  # from now on stream ids are ahead of the clock
            event, soon = good(rng), int(time.time() * 1000) + 10**9
            ahead = rng.choice([FAR - 1, 253_402_300_800_000, soon, 10**14])
            taken.add(event.event_id)
            append(client, keys, event.entry(), id=f"{ahead}-{rng.choice([0, 5, FAR])}")
        done = drained(settings, client, keys)
        assert done["drained"] + done["set_aside"] > 0, seed
    assert {i for (i,) in sql("SELECT event_id FROM matchbook_events")} == taken, seed
    reasons = sql("SELECT reason, content FROM matchbook_rejected_events")
    assert len(reasons) == aside and all(r and len(c) <= 10_000 for r, c in reasons), seed
    newest = sql("SELECT max(received_at) <= CURRENT_TIMESTAMP + interval '1 minute' FROM matchbook_events")
    assert newest == [(True,)], seed


@pytest.mark.parametrize("ahead", [f"{FAR}-{FAR}", f"{FAR}-0", "253402300800000-0", "99999999999999-7"])
def test_an_id_ahead_of_the_clock_is_kept_and_the_stream_takes_more(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql, ahead: str
) -> None:
    rng = random.Random(7)
    first, second = good(rng), good(rng)
    append(client, keys, first.entry(), id=ahead)
    assert drained(settings, client, keys)["new"] == 1
    append(client, keys, second.entry())
    assert drained(settings, client, keys)["new"] == 1
    assert sql("SELECT count(*) FROM matchbook_events WHERE received_at <= CURRENT_TIMESTAMP") == [(2,)]


def odd_states() -> dict[str, Callable[[redis.Redis, Keys], None]]:
    def last(client: redis.Redis, keys: Keys) -> None:
        append(client, keys, {"a": "b"})
        client.xtrim(keys.events, 0)
        command(client, "XSETID", keys.events, f"{FAR}-{FAR}")

    def delivered(client: redis.Redis, keys: Keys) -> None:
        client.xgroup_create(keys.events, DRAIN_GROUP, id="0", mkstream=True)
        client.xgroup_setid(keys.events, DRAIN_GROUP, f"{FAR}-0")

    def pending_and_deleted(client: redis.Redis, keys: Keys) -> None:
        client.xgroup_create(keys.events, DRAIN_GROUP, id="0", mkstream=True)
        name = append(client, keys, {"a": "b"})
        client.xreadgroup(DRAIN_GROUP, b"\xff dead", {keys.events: ">"})  # type: ignore[arg-type]  # declared str
        client.xdel(keys.events, name)

    def later_group(client: redis.Redis, keys: Keys) -> None:
        client.xgroup_create(keys.events, "somebody else", id="$", mkstream=True)

    def no_stream(client: redis.Redis, keys: Keys) -> None:
        client.set(keys.events, "x")

    def odd_note(client: redis.Redis, keys: Keys) -> None:
        client.hset(keys.drain, mapping={"release": b"\xff", "until": "soon", b"\xfe": ""})

    return {f.__name__: f for f in (last, delivered, pending_and_deleted, later_group, no_stream, odd_note)}


@pytest.mark.parametrize("state", odd_states())
def test_an_odd_state_of_the_stream_stops_nothing(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql, state: str
) -> None:
    odd_states()[state](client, keys)
    drain_events(settings, claim_after_s=0)
    event = good(random.Random(8))
    append(client, keys, event.entry())
    assert drain_events(settings, claim_after_s=0)["new"] == 1
    assert sql("SELECT event_id FROM matchbook_events") == [(event.event_id,)]


def test_a_taken_event_is_never_rejected_for_its_time(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    """One clock accepts an event and checks its time. A clock that is minutes late has no effect."""
    for minutes in (6, 60, 60 * 24 * 365):
        ahead = datetime.now(UTC) + timedelta(minutes=minutes)
        append(client, keys, {**good(random.Random(minutes)).entry(), "at": ahead.isoformat()})
    done = drained(settings, client, keys)
    assert (done["new"], done["set_aside"]) == (3, 0)
