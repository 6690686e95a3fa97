"""Encode live and trending lists for Redis: round-trips, and bytes of earlier versions."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import ReleaseIncomplete
from models.lists.redis_format import LiveList, TrendingList
from tests.paths import GOLDEN

MADE_US = 1_700_000_000_123_456
LIVE = LiveList(b"\x01\x02\x03", True, MADE_US)
IDS = np.array(["00000001-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"])
TRENDING = TrendingList(IDS, np.array([1.0, 0.25], np.float32), MADE_US)


def test_a_live_list_of_format_1_is_still_read_and_written() -> None:
    stored = bytes.fromhex((GOLDEN / "live_list_1.hex").read_text())
    assert LIVE.encode() == stored
    found = LiveList.decode(stored)
    assert (found.value, found.known, found.made_us) == (LIVE.value, LIVE.known, LIVE.made_us)


def test_owners_without_a_list_are_remembered_too() -> None:
    nobody = LiveList(b"", False, MADE_US)
    assert LiveList.decode(nobody.encode()).value == b""
    assert not LiveList.decode(nobody.encode()).known


def test_a_trending_list_of_format_1_is_still_read_and_written() -> None:
    stored = bytes.fromhex((GOLDEN / "trending_list_1.hex").read_text())
    assert TRENDING.encode() == stored
    found = TrendingList.decode(stored)
    assert (found.ids.tolist(), found.made_us) == (IDS.tolist(), MADE_US)
    np.testing.assert_allclose(found.score, TRENDING.score, atol=1e-5)


@pytest.mark.parametrize("kind", [LiveList, TrendingList])
@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x02" * 40])
def test_anything_else_is_refused(kind: type[LiveList] | type[TrendingList], stored: bytes) -> None:
    with pytest.raises(ReleaseIncomplete, match="format 1"):
        kind.decode(stored)


def test_a_cut_trending_list_is_refused() -> None:
    with pytest.raises(ReleaseIncomplete, match="bytes of a trending list"):
        TrendingList.decode(TRENDING.encode()[:-1])
