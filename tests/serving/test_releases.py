"""Change releases during requests: none is mixed or lost, and the newest answers within seconds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from models.list_version import models_code
from models.lists.release import Release
from models.schema import Method, Role, Surface
from models.settings.settings import Settings
from pipelines.publish.history import promote, rollback
from pipelines.run.run import code_version
from serving.lists import NOBODY
from serving.releases import HeldRelease
from tests.serving.conftest import Person, Publish, Start, ask

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


def test_no_answer_mixes_two_releases(start: Start, publish: Publish, settings: Settings, person: Person) -> None:
    """Two releases with opposite orders alternate while threads read. Each answer is from one of them."""
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


def held_with(settings: Settings, caplog: pytest.LogCaptureFixture, **recorded: Any) -> HeldRelease:
    instant = "2020-04-10T00:00:00+00:00"
    release = Release("20200410T000000Z-3fa92c1b", instant, instant, "", "", {}, {}, [], recorded)
    with caplog.at_level("WARNING"):
        return HeldRelease.from_parts(release, {}, {}, settings)


def test_the_settings_of_a_release_are_kept_with_it(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Settings that change lists, also the mode, come from the release. The rest is the reader's own."""
    recorded = settings.layered({"cold_start_threshold": 7, "ranking_mode": "seed"}, "given").recorded()
    held = held_with(settings.layered({"live_budget_s": 3.0, "depth": 7}, "given"), caplog, **recorded)
    assert held.settings.ranking.mode == "seed" and held.settings.routing.cold_start_threshold == 5
    assert held.settings.given("cold_start_threshold") == 7 and held.settings.lists.depth == settings.lists.depth
    assert held.settings.reader.live_budget_s == 3.0 and not caplog.messages
    assert held_with(settings.layered({"ranking_mode": "seed"}, "given"), caplog).settings.ranking.mode == "settings"


def test_a_changed_recorded_constant_is_reported(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    held_with(settings, caplog, rrf_k=60)
    assert not caplog.messages
    held_with(settings, caplog, rrf_k=30)
    assert "built with rrf_k=30, which is a constant now, 60" in caplog.text and "Build again" in caplog.text


def test_a_live_list_by_other_code_has_another_version(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """After an upgrade the reader computes live lists with its own code until the next build."""

    def versions(code: str) -> tuple[str, str]:
        held = held_with(settings, caplog)
        held = replace(held, release=replace(held.release, code_version=code))
        listing = replace(NOBODY, method=Method.ALS)
        stored, live = (held.version(SURFACE, listing, None, live=live) for live in (False, True))
        return stored.model_version, live.model_version

    assert [len(set(versions(code))) for code in (code_version(), "matchbook=0", "matchbook=0 models=0")] == [1, 1, 2]
    assert models_code() in code_version().split()


def test_the_reader_says_which_settings_have_no_effect(
    start: Start, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish(day=10)
    with caplog.at_level("INFO"):
        reader = start().extensions["matchbook"]
        reader.live.recipes(reader.releases.held, patience_s=20)
    (line,) = [m for m in caplog.messages if ": ranker: " in m]
    assert line.startswith(f"release {reader.releases.held.id}: ranker: rules; ")
    assert "without effect: " in line and "ranker.epochs" in line and "rules.model_weight" not in line
