"""Lists to a release on disk, written aside and renamed into place, its name made of its content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from models.nouns.bundle import sha256_of
from models.nouns.ranked_lists import RankedLists
from models.nouns.release import Release, encode_lists
from models.nouns.release.files import MANIFEST, ReleaseDigest, popular_file, shard_file
from models.schema import Surface
from pipelines.artifacts import Artifacts, write_private


def store_release(
    artifacts: Artifacts,
    draft: Release,
    slug: str,
    lists: Mapping[Surface, Sequence[RankedLists]],
    popular: Mapping[Surface, RankedLists],
) -> Release:
    """Store shards of lists as a release; what follows from them is filled into the draft. slug: of the cutoff."""
    digest = ReleaseDigest()
    size = sum(add_lists(digest, s, lists[s]) for s in Surface if s in lists)
    whole = digest.hexdigest(draft.erased)
    release = replace(
        draft,
        id=f"{slug}-{whole[:8]}",
        digest=whole,
        list_bytes=size,
        lists={s.value: sum(map(len, parts)) for s, parts in lists.items()},
        shards=[{"surface": s.value, "index": i} for s, parts in lists.items() for i in range(len(parts))],
    )

    def fill(directory: Path) -> None:
        for s, parts in lists.items():
            (directory / s.folder).mkdir(mode=0o700)
            popular[s].save(directory / popular_file(s))
            for i, part in enumerate(parts):
                part.save(directory / shard_file(s, i))

    place_release(artifacts, release, fill)
    return artifacts.release(release.id)


def add_lists(digest: ReleaseDigest, surface: Surface, parts: Iterable[RankedLists]) -> int:
    """Add the lists of a surface to a digest; returns their encoded bytes."""
    digest.begin(surface)
    size = 0
    for p in parts:
        values = encode_lists(p)
        digest.add(values)
        size += sum(map(len, values))
    return size


def place_release(artifacts: Artifacts, release: Release, fill: Callable[[Path], None]) -> None:
    """Store a release, all or nothing: `fill` writes the files with lists, the manifest gets the sha256 of each."""

    def whole(directory: Path) -> None:
        fill(directory)
        files = {p.relative_to(directory).as_posix(): sha256_of(p) for p in sorted(directory.rglob("*.npz"))}
        write_private(directory / MANIFEST, replace(release, files=files).to_json())

    artifacts.place("releases", release.id, whole)
