"""A release on disk: the files with its lists, opened only where they are what was written, and its digest.

releases/20130405T000001Z-3fa92c1b/
├── manifest.json                       Release, with the sha256 of every other file
└── startups-for-developer/             <surface with - for />
    ├── 0000.npz …                      the lists of a shard, see RankedLists
    └── popular.npz                     the one list for whoever has none
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from models.errors import ReleaseIncomplete
from models.nouns.bundle import sha256_of
from models.nouns.ranked_lists import RankedLists
from models.nouns.release.manifest import Release
from models.schema import Surface

MANIFEST = "manifest.json"
#: Below the artefact root: one JSON line for each release that became live, and why.
PUBLISHES = "publishes.jsonl"


class ReleaseDigest:
    """sha256 over encoded lists: surface by surface in the order of `Surface`, owners ascending, then the marks of
    those who were erased since. It depends neither on shards nor on when it was made."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def begin(self, surface: Surface) -> None:
        """The lists of a surface follow."""
        self._sha.update(surface.value.encode())

    def add(self, lists: Iterable[bytes]) -> None:
        """The next encoded lists."""
        for value in lists:
            self._sha.update(value)

    def hexdigest(self, erased: Sequence[str] = ()) -> str:
        """Of everything added, without the people of these marks."""
        whole = self._sha.copy()
        for mark in erased:
            whole.update(mark.encode())
        return whole.hexdigest()


def shard_file(surface: Surface, index: int) -> str:
    """Where a shard lies below the release's directory."""
    return f"{surface.folder}/{index:04d}.npz"


def popular_file(surface: Surface) -> str:
    """Where the popular list of a surface lies below the release's directory."""
    return f"{surface.folder}/popular.npz"


def last_published(root: Path) -> str | None:
    """The release that went live last by the log of publishes, where it is stored still. root: of the artefacts."""
    log = root / PUBLISHES
    told = log.read_text().splitlines() if log.is_file() else []
    names = (json.loads(line)["release"] for line in reversed(told))
    return next((name for name in names if (root / "releases" / name / MANIFEST).is_file()), None)


def release_lists(directory: Path, release: Release, surface: Surface) -> Iterator[RankedLists]:
    """The stored shards of one surface, in owner order. Raises ReleaseIncomplete."""
    for shard in release.shards:
        if shard["surface"] == surface.value:
            yield open_lists(directory, release, shard_file(surface, shard["index"]))


def popular_list(directory: Path, release: Release, surface: Surface) -> RankedLists:
    """The one list of a release for owners who have none of their own. Raises ReleaseIncomplete."""
    return open_lists(directory, release, popular_file(surface))


def open_lists(directory: Path, release: Release, file: str) -> RankedLists:
    """The lists of one file. Raises ReleaseIncomplete where it is missing or differs from the manifest."""
    path = directory / file
    if not path.is_file() or sha256_of(path) != release.files.get(file):
        raise ReleaseIncomplete(
            f"{path} differs from its manifest (truncated, tampered with or missing); build this cutoff again, "
            "or promote another release"
        )
    return RankedLists.open(path)
