"""Decide whether a scheduled run builds (K01-K09, R13): the rule by hand, and facts from real rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from models.lists.redis_format import Keys
from models.lists.release import Release
from models.settings.settings import Settings
from pipelines.export.export import export_snapshot
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine, transaction
from pipelines.redis_client import connect
from pipelines.run.run import Run, read_decisions
from pipelines.schedule import Facts, decide, facts_of, retrain
from pipelines.store.artifacts import Artifacts
from tests.marketplace.tiny import AFTER_ALL, identity, write_tiny_marketplace

CALM = Facts(
    built="2024-05-01T02:00:00+00:00",
    age_days=3.0,
    week=500,
    active_days=6,
    interactions=(9000, 9400),
    users=(2000, 2010),
    startups=(500, 501),
    drift=0.01,
)


@pytest.mark.parametrize(
    ("week", "active_days", "every"),
    [
        (1001, 7, 7),
        (1001, 2, 7),  # weekly (K01, K09)
        (1000, 6, 14),
        (100, 6, 14),  # every two weeks (K02)
        (100, 7, 7),  # K04: new interactions every day
        (99, 7, 30),
        (0, 0, 30),  # monthly (K03, K06)
    ],
)
def test_the_last_week_sets_the_rhythm(week: int, active_days: int, every: int) -> None:
    facts = replace(CALM, week=week, active_days=active_days)
    for age, due in ((every - 0.6, False), (every - 0.5, True), (every + 1.0, True)):
        found = decide(replace(facts, age_days=age), Settings())
        assert (found.due, found.every_days) == (due, every), found.reason
        assert f"{week} interactions" in found.reason and "days old" in found.reason


@pytest.mark.parametrize(
    ("leap", "word"),
    [
        ({"interactions": (9000, 18000)}, "doubled (9000 to 18000)"),  # doubled (K07)
        ({"users": (2000, 2401)}, "people grew by more than 20%"),
        ({"startups": (500, 601)}, "startups grew"),  # large growth (K05)
        ({"drift": 0.11}, "mix of routes moved by 11.0%"),
    ],
)
def test_a_leap_does_not_wait(leap: dict[str, Any], word: str) -> None:
    found = decide(replace(CALM, **leap), Settings())
    assert found.due and word in found.reason
    nearly: dict[str, Any] = {
        "interactions": (9000, 17999),
        "users": (2000, 2400),
        "startups": (500, 600),
        "drift": 0.1,
    }
    assert not decide(replace(CALM, **nearly), Settings()).due


def test_the_first_build_and_a_daily_one_are_always_due() -> None:
    assert decide(Facts(), Settings()).due
    daily = decide(CALM, Settings().layered({"retrain": "always"}, "given"))
    assert daily.due and "[retrain] when = 'always'" in daily.reason
    skipped = decide(replace(CALM, drift=None), Settings())
    assert not skipped.due and "moved by unknown" in skipped.reason and "Trigger a run" in skipped.reason


def test_a_live_cutoff_after_the_runs_own_is_not_called_old() -> None:
    found = decide(replace(CALM, age_days=-26331.9), Settings())
    assert not found.due and "lies 26331.9 days after this run's" in found.reason and "old" not in found.reason


def test_facts_come_from_the_live_build_and_the_platforms_rows(settings: Settings, tmp_path: Path) -> None:
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    assert facts_of(settings, AFTER_ALL) == Facts()
    run = Run.start(settings, "r", AFTER_ALL)
    snapshot = export_snapshot(run)
    lives(settings, snapshot, run)
    as_of = AFTER_ALL + timedelta(days=2)
    with transaction(engine(settings)) as connection:
        for n in range(5):  # a user without events crosses 5, another has one more
            connection.execute(
                text("INSERT INTO user_interactions VALUES (:u, :s, 'like', :at)"),
                {"u": identity("user", 0), "s": identity("startup", n), "at": AFTER_ALL + timedelta(hours=n)},
            )
        connection.execute(
            text("INSERT INTO users (id, role, created_at) VALUES (:u, 'developer', :at)"),
            {"u": identity("user", 99), "at": AFTER_ALL},
        )
        week = connection.scalar(
            text("SELECT count(*) FROM user_interactions WHERE created_at >= :at"), {"at": as_of - timedelta(days=7)}
        )
    facts = facts_of(settings, as_of)
    assert (facts.built, facts.age_days, facts.week) == (AFTER_ALL.isoformat(), 2.0, week)
    assert facts.interactions[1] - facts.interactions[0] == 5
    assert (facts.users, facts.startups) == ((36, 37), (15, 15))
    assert facts.drift == pytest.approx(drift_by_hand(settings, as_of), abs=1e-4)
    decision, told = retrain(settings, as_of)
    (line,) = read_decisions(settings)
    assert line["what"] == "retrain" and line["reasons"] == [decision.reason] and line["facts"]["week"] == week
    assert told["built"] == facts.built


def drift_by_hand(settings: Settings, as_of: datetime) -> float:
    """Sum the differences of the shares of cold, warm and hot people before and after, and halve it."""
    with transaction(engine(settings)) as connection:
        counts = [
            connection.execute(
                text(
                    "SELECT count(i.*) FILTER (WHERE i.created_at < :at) FROM users u LEFT JOIN user_interactions i "
                    "ON i.user_id = u.id WHERE u.created_at IS NULL OR u.created_at < :at GROUP BY u.id"
                ),
                {"at": at},
            )
            .scalars()
            .all()
            for at in (AFTER_ALL, as_of)
        ]
    mixes = [[sum(low <= n < high for n in c) / len(c) for low, high in ((0, 5), (5, 20), (20, 10**9))] for c in counts]
    return sum(abs(a - b) for a, b in zip(*mixes, strict=True)) / 2


def lives(settings: Settings, snapshot: str, run: Run) -> None:
    """Pretend that a release of this snapshot was published."""
    release = Release(
        "r1", run.as_of.isoformat(), run.as_of.isoformat(), "d", snapshot, {}, {}, [], settings.recorded()
    )

    def fill(directory: Path) -> None:
        (directory / "manifest.json").write_text(release.to_json())

    Artifacts(settings).place("releases", "r1", fill)
    connect(settings).set(Keys(settings.namespace).current, "r1")
