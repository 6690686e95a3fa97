"""Bound /metrics for any requests: each label has a fixed number of values."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import redis
from flask import Flask
from prometheus_client import REGISTRY

from models.lists.redis_format import Keys
from models.schema import Role, Surface
from models.settings.settings import Settings
from serving.http.events import EARNED_EXPERIMENTS, EARNED_RATES, engagement
from tests.serving.conftest import Person, Publish, Start

AT = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}"
#: Every label of our metrics, and its maximum number of values.
VALUES_MOST = {
    "endpoint": 20,
    "status": 20,
    "surface": 8,
    "route": 8,
    "method": 8,
    "source": 4,
    "why": 4,
    "type": 24,
    "code": 40,
    "le": 20,
}


def series(text: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}


def ask_everything(app: Flask, person: Person, n: int) -> None:
    """Send valid and invalid requests of every kind."""
    client = app.test_client()
    for path in (
        f"{AT}/{person(Role.DEVELOPER, 4)}",
        f"{AT}/popular",
        f"{AT}/trending",
        "/health",
        f"{AT}/{n}",
        f"{AT}/{uuid.uuid4()}",
        f"/odd/{n}",
        f"{AT}/popular?limit={n + 1000}",
        f"{AT}/popular?stage={n}",
    ):
        for method in ("GET", "POST", f"ODD{n}"):
            client.open(path, method=method)
    for event in ({"event_id": str(n)}, {"event_id": str(n), "type": f"odd{n}"}, {f"field{n}": 1}):
        client.post("/api/events", json={"events": [event]})
    client.post(f"{AT}/many", json={"ids": [person(Role.DEVELOPER, 9), str(uuid.uuid4())]})


def test_releases_and_requests_leave_no_series(start: Start, publish: Publish, person: Person, rows: str) -> None:
    publish(day=10)
    app = start()
    found = []
    for n, day in enumerate((10, 11, 12, 13, 14)):
        release = publish(day=day)
        app.extensions["matchbook"].releases.follow()
        ask_everything(app, person, n)
        text = app.test_client().get("/metrics").text
        assert f'release="{release}"' in text
        assert len(re.findall(r'release="', text)) == 1, "the live release alone is named"
        found.append({re.sub(r'release="[^"]*"', 'release=""', s) for s in series(text)})
    assert found[-1] == found[1], "from the second release on there is no new series"


def test_no_label_takes_any_value(start: Start, publish: Publish, person: Person, rows: str) -> None:
    publish()
    app = start()
    for n in range(60):
        ask_everything(app, person, n)
    values: dict[str, set[str]] = {}
    for metric in REGISTRY.collect():
        for sample in metric.samples if metric.name.startswith("matchbook_") else ():
            for label, value in sample.labels.items():
                values.setdefault(label, set()).add(value)
    assert set(values) <= set(VALUES_MOST), "bound the new label, and say here how many values it may take"
    assert not {label: len(v) for label, v in values.items() if len(v) > VALUES_MOST[label]}


@pytest.mark.parametrize("editions", [1, 200])
def test_experiments_and_their_editions_are_bounded(editions: int) -> None:
    def group(name: str, **more: str) -> dict[str, object]:
        number = {"low": 0.1, "value": 0.2, "high": 0.3}
        told = dict.fromkeys((*EARNED_RATES, "age_days"), number)
        return {"name": name, "impressions": 1, "share": 0.5, **told, **more}

    day = datetime(2024, 5, 1, tzinfo=UTC)
    arms = [(f"e{n % 50}", f"{n:08x}", arm) for n in range(50 * editions) for arm in ("a", "b")]
    told = {
        "made_at": day.isoformat(),
        "by": {
            "method": [],
            "route": [],
            "surface": [],
            "release": [group(f"r{n}") for n in range(500)],
            "arm": [group(f"{e}/{arm}", experiment=e, edition=edition, arm=arm) for e, edition, arm in arms],
        },
        "experiments": [
            {
                "name": e,
                "edition": edition,
                "since": str(day.date()),
                "sample_ratio": {"p": 0.5},
                "until": str((day + timedelta(days=n // 2)).date()),
            }
            for n, (e, edition, arm) in enumerate(arms)
            if arm == "a"
        ],
    }
    samples = [
        (s.name, tuple(sorted(s.labels.items()))) for m in engagement(json.dumps(told).encode()) for s in m.samples
    ]
    assert len(samples) == len(set(samples)), "two series of one name and labels: Prometheus takes neither"
    names = {dict(labels).get("name") for _, labels in samples} - {None}
    assert len([n for n in names if "/" in str(n)]) == 2 * EARNED_EXPERIMENTS
    shown = {dict(labels)["edition"] for name, labels in samples if name == "matchbook_experiment_sample_ratio_p"}
    assert shown == {f"{n:08x}" for n in range(50 * editions - EARNED_EXPERIMENTS, 50 * editions)}


def test_another_versions_earnings_are_passed_over(start: Start, publish: Publish, settings: Settings) -> None:
    publish()
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.set(Keys(settings.namespace).earnings, b'{"made_at": "2024-05-01T00:00:00+00:00", "by": {}}')
    assert start().test_client().get("/metrics").status_code == 200
