"""The benchmark of similar lists reads a folder, knows nothing after the cut, and prints every list."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.similar import RIVALS, Market, table
from tests.marketplace.tiny import write_tiny_marketplace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_marketplace(tmp_path_factory.mktemp("tiny"))


def test_the_models_know_only_what_is_before_the_cut(folder: Path) -> None:
    market, earlier = Market.read(folder), Market.read(folder, 2)
    share = len(market.before) / len(market.later)
    assert 0.75 < share < 0.85 and market.before.at.max() < market.cut_us <= market.later.at.max()
    assert earlier.cut_us < market.cut_us and earlier.later.at.max() < market.cut_us
    assert market.users.count.sum() == len(market.before)


@pytest.mark.slow
def test_every_list_is_in_the_table_once_for_each_side(folder: Path) -> None:
    lines = table(Market.read(folder))
    for name in ("most popular", *RIVALS, "common partners alone", "content alone", "similar lists"):
        assert sum(line.startswith(f"| {name} |") for line in lines) == 3
