"""Releases change under running requests: none is mixed, none is lost, and the newest answers within seconds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from models.schema import Role, Surface
from models.settings.settings import Settings
from pipelines.publish.history import promote, rollback
from tests.serving.conftest import Person, Publish, Start, ask

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


def test_no_answer_mixes_two_releases(start: Start, publish: Publish, settings: Settings, person: Person) -> None:
    """Two releases with opposite orders take turns while threads read; each answer is one or the other."""
    owner = person(Role.DEVELOPER, 4)
    first = publish(day=10)
    app = start()
    orders = {first: list(ask(app, owner, {"limit": 100})["scores"])}
    second = publish(day=11, backwards=True)
    orders[second] = orders[first][::-1]
    stop, answers = threading.Event(), []

    def read() -> int:
        n = 0
        while not stop.is_set():
            body = ask(app, owner, {"limit": 100})
            assert list(body["scores"]) == orders[body["release"]]
            assert (body["source"], body["degraded"]) == ("cache", False)
            answers.append(body["release"])
            n += 1
        return n

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        for n in range(6):
            promote(settings, (first, second)[n % 2])
            time.sleep(0.7)
        stop.set()
        assert sum(r.result() for r in readers) > 100
    assert set(answers) == {first, second}


def test_a_rollback_is_in_effect_within_seconds_models_included(
    start: Start, publish: Publish, settings: Settings, person: Person
) -> None:
    first, second = publish(day=10), publish(day=11, backwards=True)
    app, owner = start(), person(Role.DEVELOPER, 4)
    assert ask(app, owner, {"limit": 100})["release"] == second
    rollback(settings)
    began = time.monotonic()
    while ask(app, owner, {"limit": 100})["release"] != first:
        assert time.monotonic() - began < 5
        time.sleep(0.02)
    reader = app.extensions["matchbook"]
    assert reader.live.recipes(reader.releases.held, patience_s=10).release == first
