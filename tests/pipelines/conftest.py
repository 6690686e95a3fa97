"""One planted hold-out a session: fitting the base models is the slow part."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.data.snapshot import Snapshot
from pipelines.learning.holdout import Holdout, open_holdout
from pipelines.runs.run import Run, parse_instant
from tests.pipelines.learning.market import AS_OF, market, small


@pytest.fixture(scope="session")
def planted() -> Snapshot:
    return market()


@pytest.fixture(scope="session")
def planted_run() -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as home:
        yield Run.start(small(home=Path(home)), "planted", parse_instant(AS_OF), fresh=True)


@pytest.fixture(scope="session")
def holdout(planted_run: Run, planted: Snapshot) -> Holdout:
    return open_holdout(planted_run, planted)


@pytest.fixture
def learning_run(planted_run: Run, holdout: Holdout, planted: Snapshot, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The planted run, with `Snapshot.open` finding the planted rows and the base models already in its staging."""
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: planted))
    return replace(planted_run)
