"""Continue an erasure after a kill at any moment. Readers never see a gap."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import pipelines.erase.erase as erasing
import pipelines.erase.servers as loaded
import pipelines.publish.lease as leases
from models.lists.release import Release
from models.schema import Surface
from pipelines.__main__ import main
from pipelines.erase.erase import erase
from pipelines.publish.publish import switch
from pipelines.redis_client import current_release
from pipelines.store.artifacts import Artifacts
from tests.pipelines.erase.conftest import PERSON, City, Traces
from tests.stored import text, value

#: The calls of an erasure, in order. The test kills it after one of them.
STAGES = ["rewrite_snapshots", "rewrite_releases", "replace_loaded", "forget_keys", "_delete"]


class Killed(BaseException):
    """Imitates SIGKILL: no code of the product catches it."""


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.6)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_after_any_stage_and_run_again_it_completes(
    planted: City, traces: Traces, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = getattr(erasing, stage)

    def killed(*words: Any, **more: Any) -> Any:
        step(*words, **more)
        raise Killed

    monkeypatch.setattr(erasing, stage, killed)
    with pytest.raises(Killed):
        erase(planted.settings, PERSON)
    monkeypatch.setattr(erasing, stage, step)
    check_whole(planted)

    receipt = erase(planted.settings, PERSON)
    assert traces(planted) == [] and receipt["left"] == [] and receipt["done_at"]
    check_whole(planted)
    assert f"releases/{current_release(planted.settings)}" == receipt["successors"][f"releases/{planted.live}"]
    assert not planted.client.smembers(planted.keys.loading)


def test_killed_between_two_deletions_it_completes(city: City, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    remove, count = Artifacts.remove, [0]

    def twice(artifacts: Artifacts, kind: str, name: str) -> None:
        count[0] += kind != "runs"
        if count[0] == 4:
            raise Killed
        remove(artifacts, kind, name)

    monkeypatch.setattr(Artifacts, "remove", twice)
    with pytest.raises(Killed):
        erase(city.settings, PERSON)
    monkeypatch.setattr(Artifacts, "remove", remove)
    assert traces(city) != []
    assert erase(city.settings, PERSON)["left"] == [] and traces(city) == []


def test_killed_between_two_loaded_releases_it_completes(
    city: City, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(*words: Any, **more: Any) -> None:
        switch(*words, **more)
        raise Killed

    monkeypatch.setattr(loaded, "switch", once)
    with pytest.raises(Killed):
        erase(city.settings, PERSON)
    monkeypatch.setattr(loaded, "switch", switch)
    check_whole(city)
    assert erase(city.settings, PERSON)["left"] == [] and traces(city) == []


def test_really_killed_and_run_again_by_command(
    city: City, traces: Traces, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kill the process with SIGKILL, then run the command to its end, and search once more."""
    command = [sys.executable, "-m", "pipelines", "erase", PERSON]
    for name, word in {
        "MATCHBOOK_HOME": str(city.settings.home),
        "MATCHBOOK_NAMESPACE": city.settings.namespace,
        "DATABASE_URL": city.settings.database_url.reveal(),
        "REDIS_URL": city.settings.redis_url.reveal(),
    }.items():
        monkeypatch.setenv(name, word)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not city.client.smembers(city.keys.loading):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    check_whole(city)

    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and PERSON not in done.stdout + done.stderr, done.stderr
    assert main(["erase", PERSON, "--scan"]) == 0
    assert '"left": []' in capsys.readouterr().out and traces(city) == []


def test_readers_see_one_release_or_its_successor_and_nothing_between(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader with the old pointer finds every list until all readers have followed."""
    client, keys, stop = city.client, city.keys, threading.Event()
    wrong: list[str] = []
    seen: set[str] = set()

    def read() -> None:
        while not stop.is_set():
            release = text(client, keys.current)
            seen.add(release)
            whole = all(client.hlen(keys.lists(release, s)) > 1 for s in Surface)
            if not (whole and client.exists(keys.manifest(release))):
                wrong.append(release)

    monkeypatch.setattr(erasing, "FOLLOW_S", 0.3)
    reader = threading.Thread(target=read)
    reader.start()
    erase(city.settings, PERSON)
    stop.set()
    reader.join()
    assert wrong == [] and seen == {city.live, current_release(city.settings)}


def check_whole(city: City) -> None:
    """Check that the live release has every list that its manifest counts."""
    client, keys = city.client, city.keys
    name = text(client, keys.current)
    manifest = Release.from_json(value(client, keys.manifest(name)))
    lost = {PERSON} if name == city.live else set()
    for s in Surface:
        missing = manifest.lists[s.value] + 1 - client.hlen(keys.lists(name, s))
        assert 0 <= missing <= len(lost), s
    assert Artifacts(city.settings).release(name).id == name
