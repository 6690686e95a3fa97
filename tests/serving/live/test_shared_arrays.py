"""Processes share the aligned arrays of a release. Lists from mapped arrays equal lists from memory to the bit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.data.mapped import LEAST_BYTES
from models.recommender.recommend import recommend
from models.recommender.surface import open_recommender
from models.schema import Surface
from serving.live.shared_arrays import SharedArrays
from tests.marketplace.bundles import SMALL, learned_bundles
from tests.marketplace.world import world

LARGE = np.arange(LEAST_BYTES, dtype=np.float32).reshape(-1, 64)


def files(reader: Path) -> list[Path]:
    return sorted(reader.rglob("*.npy"))


def test_equal_arrays_are_one_mapped_file(tmp_path: Path) -> None:
    shared = SharedArrays(tmp_path, "a")
    with shared.opening():
        found = [shared.keep(LARGE), shared.keep(LARGE.copy())]
        small = LARGE[:1]
        assert shared.keep(small) is small
    assert all(np.array_equal(array, LARGE) and not array.flags.writeable for array in found)
    assert len(files(tmp_path)) == 1
    assert not (tmp_path.stat().st_mode | files(tmp_path)[0].parent.stat().st_mode) & 0o077


def test_another_process_maps_the_same_file(tmp_path: Path) -> None:
    own = SharedArrays(tmp_path, "a")
    with own.opening():
        own.keep(LARGE)
    before = files(tmp_path)[0].stat().st_ino
    program = (
        "import sys; from pathlib import Path; from tests.serving.live.test_shared_arrays import LARGE, SharedArrays\n"
        "shared = SharedArrays(Path(sys.argv[1]), 'a')\n"
        "with shared.opening(): kept = shared.keep(LARGE)\n"
        "print(Path('/proc/self/maps').read_text())"
    )
    maps = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True
    ).stdout
    assert re.search(rf" {before} +{re.escape(str(files(tmp_path)[0]))}", maps)


def test_arrays_of_an_earlier_release_go_and_stay_readable(tmp_path: Path) -> None:
    before, after = SharedArrays(tmp_path, "a"), SharedArrays(tmp_path, "b")
    with before.opening():
        old = before.keep(LARGE)
    with after.opening():
        after.keep(LARGE + 1)
    assert [file.parent.name for file in files(tmp_path)] == ["b"]
    assert np.array_equal(old, LARGE)


def test_forgotten_pages_leave_the_process_and_are_read_again(tmp_path: Path) -> None:
    shared = SharedArrays(tmp_path, "a")
    with shared.opening():
        array = shared.keep(LARGE)
    assert array.sum() == LARGE.sum() and resident_kb(tmp_path) * 1024 >= LARGE.nbytes
    shared.forget_pages([])
    assert resident_kb(tmp_path) == 0
    assert np.array_equal(array, LARGE)


def resident_kb(folder: Path) -> int:
    """Return the resident KB of this process's mappings of files in a folder."""
    smaps = Path("/proc/self/smaps").read_text()
    return sum(int(kb) for kb in re.findall(rf" {re.escape(str(folder))}/.*\n(?:.*\n)*?Rss: +(\d+) kB", smaps))


@pytest.mark.parametrize("harm", ["no folder", "a file in its place"])
def test_without_a_folder_arrays_stay_in_memory(tmp_path: Path, harm: str) -> None:
    if harm == "a file in its place":
        (tmp_path / "arrays").write_text("")
    shared = SharedArrays(None if harm == "no folder" else tmp_path, "a")
    with shared.opening():
        assert shared.keep(LARGE) is LARGE
    shared.forget_pages([])


@pytest.mark.parametrize("surface", list(Surface))
def test_lists_from_mapped_arrays_equal_those_from_memory(
    surface: Surface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("models.data.mapped", "serving.live.shared_arrays"):
        monkeypatch.setattr(f"{module}.LEAST_BYTES", 1)
    shared = SharedArrays(tmp_path, "a")
    with shared.opening():
        mapped = open_recommender(surface, learned_bundles(), SMALL, shared.keep)
    plain = open_recommender(surface, learned_bundles(), SMALL)
    assert len(files(tmp_path)) > 3
    rows = plain.owners.owners_of(surface)
    found, expected = (recommend(r, r.batch(rows, world().interactions), 10) for r in (mapped, plain))
    for column in ("item", "score", "source", "reason", "method"):
        assert getattr(found, column).tobytes() == getattr(expected, column).tobytes()
