"""The bytes in Redis: they round-trip, are small, and those written by earlier versions are still read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ReleaseIncomplete
from models.nouns.candidates import indptr_of
from models.nouns.ranked_lists import RankedLists
from models.nouns.release import Keys, Release, decode_list, encode_lists
from models.schema import Method, Surface

GOLDEN = Path(__file__).parents[2] / "golden" / "ranked_list_1.hex"


def lists_of(lengths: list[int], seed: int = 0) -> RankedLists:
    rng, n, b = np.random.default_rng(seed), sum(lengths), len(lengths)
    return RankedLists(
        np.arange(b, dtype=np.int32),
        rng.integers(0, 6, b).astype(np.uint8),
        rng.integers(0, 6, b).astype(np.uint8),
        rng.integers(0, 10**6, b).astype(np.int32),
        rng.random(b) < 0.5,
        indptr_of(lengths),
        rng.integers(0, 10**7, n).astype(np.int32),
        rng.random(n).astype(np.float32),
        rng.integers(0, 64, n).astype(np.uint8),
        rng.integers(0, 128, n).astype(np.uint8),
    )


@given(st.lists(st.integers(0, 120), max_size=5), st.integers(0, 100))
def test_lists_round_trip(lengths: list[int], seed: int) -> None:
    lists = lists_of(lengths, seed)

    for i, value in enumerate(encode_lists(replace(lists, part=np.full(len(lists), 3, np.uint16)))):
        found, row = decode_list(value), lists.row(i)
        assert found.item.tolist() == lists.item[row].tolist()
        assert np.abs(found.score - lists.score[row]).max(initial=0) <= 1 / 131_000
        assert (found.source.tolist(), found.reason.tolist()) == (
            lists.source[row].tolist(),
            lists.reason[row].tolist(),
        )
        assert (found.method, found.route) == (tuple(Method)[lists.method[i]], tuple(Method)[lists.route[i]])
        assert (found.count, found.reranked, found.part) == (lists.count[i], lists.reranked[i], 3)


def test_a_list_of_100_costs_less_than_a_kibibyte() -> None:
    assert len(encode_lists(lists_of([100]))[0]) == 812


@pytest.mark.parametrize("harm", [b"", b"\x63" + b"0" * 11, None])
def test_damaged_lists_are_refused(harm: bytes | None) -> None:
    with pytest.raises(ReleaseIncomplete):
        decode_list(encode_lists(lists_of([4]))[0][:-1] if harm is None else harm)


def test_format_1_as_it_was_written_then_is_still_read() -> None:
    value = bytes.fromhex(GOLDEN.read_text())

    assert encode_lists(lists_of([7], seed=5)) == [value]
    assert decode_list(value).item.tolist() == lists_of([7], seed=5).item.tolist()


def test_ranked_lists_files_repeat_byte_for_byte_and_come_back(tmp_path: Path) -> None:
    lists = lists_of([3, 0, 5])
    lists.save(tmp_path / "a.npz")
    lists.save(tmp_path / "b.npz")

    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert encode_lists(RankedLists.open(tmp_path / "a.npz")) == encode_lists(lists)
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(ReleaseIncomplete, match=r"a\.npz"):
        RankedLists.open(tmp_path / "a.npz")


def test_lists_put_together_are_those_of_the_parts() -> None:
    a, b = lists_of([2, 3], 1), lists_of([0, 4], 2)

    assert encode_lists(RankedLists.concat([a, b])) == encode_lists(a) + encode_lists(b)


def test_a_manifest_round_trips_and_a_broken_one_is_refused() -> None:
    release = Release(
        "r", "2024-01-01T00:00:00+00:00", "2024-01-01T00:01:00+00:00", "d", "s", {"als_v1": "v"}, {"x": 1}, [], {}
    )

    assert Release.from_json(release.to_json()) == release
    with pytest.raises(ReleaseIncomplete, match="manifest"):
        Release.from_json('{"id": "r"}')


def test_a_release_owns_its_keys_and_shares_none() -> None:
    keys = Keys("town")
    one, other = set(keys.of_release("a")), set(keys.of_release("b"))

    assert len(one) == 3 + len(Surface) and not one & other
    assert all(k.startswith("town:release:a:") for k in one)
