"""Run the Gowalla benchmark on a small split in the published form: input, figures by hand, table."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gowalla
from benchmarks.gowalla import Meetings
from models.data.batch import Proposal

USERS, ITEMS = 60, 90


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make users of three tastes. One in five of each user's items is in the test split."""
    rng = np.random.default_rng(0)
    met = rng.random((USERS, ITEMS)) < np.where(np.arange(USERS)[:, None] % 3 == np.arange(ITEMS) % 3, 0.6, 0.02)
    hidden = met & (rng.random(met.shape) < 0.2)
    for name, cells in (("train", met & ~hidden), ("test", hidden)):
        with gzip.open(tmp_path / f"{name}.txt.gz", "wt") as file:
            file.writelines(" ".join(map(str, [u, *np.flatnonzero(row)])) + "\n" for u, row in enumerate(cells))
    return tmp_path


def test_the_split_is_read_and_validation_never_sees_the_test(folder: Path) -> None:
    published = Meetings.read(folder)
    inner = published.validation()
    assert published.learned.shape == published.hidden.shape == (USERS, ITEMS)
    assert published.learned.multiply(published.hidden).nnz == 0
    assert (inner.learned + inner.hidden != published.learned).nnz == 0 < inner.hidden.nnz
    events = published.interactions()
    assert (events.pairs() != published.learned.astype(bool)).nnz == 0


def test_figures_by_hand() -> None:
    """Two of three items are found, at ranks 1 and 3."""
    hidden = gowalla._matrix(np.zeros(3, int), np.array([0, 2, 4]), (1, 30))
    items = np.array([0, 1, 2, *range(5, 22)], np.int32)
    lists = Proposal(np.array([0, 20]), items, np.arange(20, 0, -1).astype(np.float32))
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert gowalla.judged(lists, hidden)[0] == pytest.approx([2 / 3, (1 + 1 / np.log2(4)) / ideal])


def test_the_table_has_every_model_and_the_blend_is_no_worse(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gowalla, "SETTINGS", gowalla.SETTINGS.layered({"als_iterations": 3}, "given"))
    assert gowalla.main([str(folder)]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    figures = {row[0].strip("| "): float(row[1]) for row in rows}
    assert list(figures)[:5] == ["popular", "neighbours", "ALS 64", "ALS 256", "graph filter"]
    assert figures["neighbours"] > figures["popular"] and len(figures) == 6
