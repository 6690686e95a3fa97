"""Bound the files of JSON lines, to which lines are always appended."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from models.settings.settings import Settings
from pipelines.run.run import LOG, log_decision, read_decisions
from pipelines.store import mirror
from pipelines.store.artifacts import append_private
from pipelines.store.mirror import newest_lines


def test_a_record_loses_its_older_half_and_keeps_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "RECORD_MOST", 2000)
    settings = Settings(home=tmp_path)
    for n in range(500):
        log_decision(settings, "retrain", str(n), ["because"])
    path = settings.artifacts / LOG
    assert path.stat().st_size < 2000 + 200 and path.stat().st_mode & 0o777 == 0o600
    kept = [json.loads(line)["verdict"] for line in path.read_text().splitlines()]
    assert kept == [str(n) for n in range(500 - len(kept), 500)] and len(kept) >= 5
    assert read_decisions(settings, 3)[0]["verdict"] == "499"


def test_newest_lines_of_a_short_text_are_all() -> None:
    assert newest_lines("a\nb\n", 10) == "a\nb\n"
    assert newest_lines("aaaa\nbbbb\ncccc\n", 12) == "cccc\n"


def _append(path: Path, n: int) -> None:
    append_private(path, f"{n:06d}")


def test_lines_that_several_processes_append_are_all_there_once(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(partial(_append, path), range(200), chunksize=10))
    assert sorted(path.read_text().split()) == [f"{n:06d}" for n in range(200)]
