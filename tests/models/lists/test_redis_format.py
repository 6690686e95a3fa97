"""Encode lists for Redis: round-trips, small size, and bytes of earlier versions."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.batch import indptr_of
from models.errors import ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.reasons import REASON, bits_of, from_bits, is_old, packed
from models.lists.redis_format import Keys, decode_list, encode_lists
from models.lists.release import Release
from models.schema import LIST_KINDS, Method
from tests.paths import GOLDEN

GOLDEN_FILE = GOLDEN / "ranked_list_1.hex"


def lists_of(lengths: list[int], seed: int = 0) -> RankedLists:
    rng, n, b = np.random.default_rng(seed), sum(lengths), len(lengths)
    return RankedLists(
        np.arange(b, dtype=np.int32),
        rng.integers(0, 6, b).astype(np.uint8),
        rng.integers(0, 6, b).astype(np.uint8),
        rng.integers(0, 10**6, b).astype(np.int32),
        (rng.random(b) < 0.5).astype(np.uint8),
        indptr_of(lengths),
        rng.integers(0, 10**7, n).astype(np.int32),
        rng.random(n).astype(np.float32),
        rng.integers(0, 64, n).astype(np.uint8),
        from_bits(rng.integers(0, 128, n)),
    )


def counted(lists: RankedLists, seed: int = 0) -> RankedLists:
    """Add a ranker and reasons with numbers to each list."""
    rng, n = np.random.default_rng(seed), len(lists.item)
    most = (7, 200, 7, 200, 7, 4)
    reason = packed(rng.integers(-1, 5, n), *(rng.integers(0, high, n) for high in most))
    return replace(lists, reason=reason, ranker=rng.integers(0, 5, len(lists)).astype(np.uint8))


@given(st.lists(st.integers(0, 120), max_size=5), st.integers(0, 100), st.booleans(), st.booleans())
def test_lists_round_trip(lengths: list[int], seed: int, old: bool, ninth: bool) -> None:
    lists = lists_of(lengths, seed) if old else counted(lists_of(lengths, seed), seed)
    lists = wide(lists, [i for i, n in enumerate(lengths) if n]) if ninth else lists

    for i, value in enumerate(encode_lists(replace(lists, part=np.full(len(lists), 3, np.uint16)))):
        found, row = decode_list(value), lists.row(i)
        assert found.item.tolist() == lists.item[row].tolist()
        assert np.abs(found.score - lists.score[row]).max(initial=0) <= 1 / 131_000
        assert (found.source.tolist(), found.reason.tolist()) == (
            lists.source[row].tolist(),
            lists.reason[row].tolist(),
        )
        assert (found.method, found.route) == (Method.of_code(lists.method[i]), Method.of_code(lists.route[i]))
        assert (found.count, found.ranker, found.part) == (lists.count[i], lists.ranker[i], 3)
        assert found.reranked == (found.ranker > 0)


def test_a_list_of_100_costs_little_more_than_a_kibibyte() -> None:
    assert len(encode_lists(lists_of([100]))[0]) == 812
    assert len(encode_lists(counted(lists_of([100])))[0]) == 1112


@pytest.mark.parametrize("harm", [b"", b"\x63" + b"0" * 11, None])
def test_damaged_lists_are_refused(harm: bytes | None) -> None:
    with pytest.raises(ReleaseIncomplete):
        decode_list(encode_lists(lists_of([4]))[0][:-1] if harm is None else harm)


def test_format_1_is_still_read() -> None:
    value = bytes.fromhex(GOLDEN_FILE.read_text())

    assert encode_lists(lists_of([7], seed=5)) == [value]
    assert decode_list(value).item.tolist() == lists_of([7], seed=5).item.tolist()


def wide(lists: RankedLists, which: list[int]) -> RankedLists:
    """Add a ninth source at the last place of these lists, and a tenth reason at their first."""
    source, reason = lists.source.astype(np.uint16), lists.reason.copy()
    for i in which:
        row = lists.row(i)
        source[row.stop - 1] = 1 << 8
        if is_old(reason[row.start]):
            reason[row.start] = from_bits(np.array([1 << 9]))[0]
    return replace(lists, source=source, reason=reason)


def test_format_2_is_still_read() -> None:
    value, lists = (
        bytes.fromhex(GOLDEN_FILE.with_name("ranked_list_2.hex").read_text()),
        wide(lists_of([7], seed=5), [0]),
    )

    assert encode_lists(lists) == [value] and value[0] == 2
    found = decode_list(value)
    assert (found.source.tolist(), found.reason.tolist()) == (lists.source.tolist(), lists.reason.tolist())


@pytest.mark.parametrize("ninth", [False, True])
def test_formats_3_and_4_as_they_were_written_then_are_still_read(ninth: bool) -> None:
    value = bytes.fromhex(GOLDEN_FILE.with_name(f"ranked_list_{3 + ninth}.hex").read_text())
    lists = wide(counted(lists_of([7], seed=5), seed=5), [0] if ninth else [])

    assert encode_lists(lists) == [value] and value[0] == 3 + ninth
    found = decode_list(value)
    assert (found.ranker, found.source.tolist()) == (lists.ranker[0], lists.source.tolist())
    assert found.reason.tolist() == lists.reason.tolist() and found.reason.dtype == REASON


def test_each_list_is_written_by_what_it_holds() -> None:
    """Old lists keep their bytes, and so the digest of their release, beside new ones. Empty lists have one format."""
    old, new = lists_of([3, 0, 2]), counted(lists_of([4, 0]), 1)
    both = encode_lists(RankedLists.concat([old, new]))

    assert both == encode_lists(old) + encode_lists(new)
    assert [value[0] for value in both] == [1, 1, 1, 3, 1]


def test_an_old_file_of_lists_gives_the_bytes_that_it_gave(tmp_path: Path) -> None:
    """Releases stored before rankers had codes and reasons had numbers can be promoted: their digest is valid."""
    lists = lists_of([7], seed=5)
    columns = {f.name: getattr(lists, f.name) for f in fields(lists) if f.name not in ("ranker", "part")}
    columns |= {"reranked": lists.ranker > 0, "reason": bits_of(lists.reason).astype(np.uint8)}
    np.savez(tmp_path / "old.npz", **columns)

    assert encode_lists(RankedLists.open(tmp_path / "old.npz")) == [bytes.fromhex(GOLDEN_FILE.read_text())]


def test_only_a_list_with_a_ninth_source_is_written_wide() -> None:
    lists = lists_of([3, 2, 4])
    plain, mixed = encode_lists(lists), encode_lists(wide(lists, [1]))

    assert (mixed[0], mixed[2]) == (plain[0], plain[2])
    assert [value[0] for value in mixed] == [1, 2, 1] and len(mixed[1]) == len(plain[1]) + 2 * 2
    assert decode_list(mixed[1]).source.tolist()[-1] == 256


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.sets(st.integers(0, 7)), st.data())
def test_bounds_of_shards_change_no_list(lengths: list[int], which: set[int], data: st.DataObject) -> None:
    """One file or several, stored and opened again, give the same bytes, list by list."""
    lists = wide(lists_of(lengths), [i for i in which if i < len(lengths) and lengths[i]])
    cuts = sorted(data.draw(st.sets(st.integers(0, len(lengths)))) | {0, len(lengths)})
    shards = [lists.take(np.arange(a, b)) for a, b in itertools.pairwise(cuts)]

    with TemporaryDirectory() as folder:
        again = []
        for i, shard in enumerate(shards):
            shard.save(Path(folder, f"{i}.npz"))
            again += encode_lists(RankedLists.open(Path(folder, f"{i}.npz")))
    assert again == encode_lists(lists)


def test_a_file_without_a_ninth_source_has_the_bytes_of_before(tmp_path: Path) -> None:
    lists = lists_of([3, 0, 5])
    lists.save(tmp_path / "narrow.npz")
    wide(lists, []).save(tmp_path / "wide.npz")

    assert (tmp_path / "narrow.npz").read_bytes() == (tmp_path / "wide.npz").read_bytes()
    assert np.load(tmp_path / "wide.npz")["source"].dtype == np.uint8
    assert RankedLists.open(tmp_path / "wide.npz").source.dtype == np.uint16


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

    assert len(one) == 3 + len(LIST_KINDS) and not one & other
    assert all(k.startswith("town:release:a:") for k in one)
