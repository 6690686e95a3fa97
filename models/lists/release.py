"""The manifest of a release: what it is made of, and the checksums that hold it together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.data.bundle import sha256_of
from models.errors import ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import encode_lists
from models.schema import Surface


@dataclass(frozen=True)
class Release:
    """The complete set of lists of one cutoff, visible all at once or not at all.

    id: "<cutoff slug>-<first 8 of digest>". as_of, generated_at: ISO 8601 UTC. digest: sha256 over all encoded
    lists, surface by surface, owners ascending; it does not depend on shards or on when it was made.
    bundles: name -> version. lists: surface -> number of owners. parts: where its lists came from, {as_of,
    generated_at}: the build, whose name is "release", then each refresh that added lists; the header of a list names
    its part. A build itself has none. files: path -> sha256 of every file with lists. list_bytes: of all encoded lists.
    erased: marks of the people taken out since it was built, each the name of a receipt; they count in the digest.
    replaces: the release whose place it takes, if any. experiments: as models/experiments.py has them, in whose
    arms its lists were made; with the edition and, of each arm by surface, its owners and what it moved. judged: name
    -> version of the models before its inner cut, by which the next build judges it; empty where nothing was held out.
    """

    id: str
    as_of: str
    generated_at: str
    digest: str
    snapshot: str
    bundles: Mapping[str, str]
    lists: Mapping[str, int]
    shards: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    shares: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Mapping[str, str]] = field(default_factory=list)
    code_version: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    list_bytes: int = 0
    erased: Sequence[str] = field(default_factory=list)
    replaces: str = ""
    experiments: Sequence[Mapping[str, Any]] = field(default_factory=list)
    judged: Mapping[str, str] = field(default_factory=dict)

    @property
    def built(self) -> str:
        """The cutoff of the build behind it, ISO 8601: what its models were taught. Which release may replace which
        is decided by it: a refresh knows more of some owners, but no more than the next build."""
        return str(self.parts[0]["as_of"]) if self.parts else self.as_of

    @property
    def build(self) -> str:
        """The id of that build; of a build its own."""
        return str(self.parts[0].get("release", self.id)) if self.parts else self.id

    def to_json(self) -> str:
        """With a checksum of the rest under "sha256"."""
        fields = asdict(self)
        return json.dumps({**fields, "sha256": _sha256(fields)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Release:
        """Raises ReleaseIncomplete where a field is missing or anything differs from what was written."""
        try:
            fields = json.loads(text)
            written = fields.pop("sha256")
            release = cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReleaseIncomplete(
                f"not a release manifest ({type(error).__name__}: {error}); build this cutoff again, or promote another"
            ) from error
        if written != _sha256(fields):
            raise ReleaseIncomplete(
                f"the manifest of release {release.id} was changed since it was written; build this cutoff again, "
                "or promote another release"
            )
        return release


def _sha256(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


MANIFEST = "manifest.json"
#: Below the artefact root: one JSON line for each release that became live, and why.
PUBLISHES = "publishes.jsonl"


class ReleaseDigest:
    """sha256 over encoded lists: surface by surface in the order of `Surface`, owners ascending, then the marks of
    those who were erased since. It depends neither on shards nor on when it was made."""

    def __init__(self) -> None:
        self._sha, self.size = hashlib.sha256(), 0

    def add_lists(self, surface: Surface, parts: Iterable[RankedLists]) -> None:
        """All lists of a surface. size: of all encoded lists so far, in bytes."""
        self.begin(surface)
        for part in parts:
            self.add(encode_lists(part))

    def begin(self, surface: Surface) -> None:
        """The lists of a surface follow."""
        self._sha.update(surface.value.encode())

    def add(self, lists: Iterable[bytes]) -> None:
        """The next encoded lists."""
        for value in lists:
            self._sha.update(value)
            self.size += len(value)

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
