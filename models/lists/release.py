"""The manifest of a release: what it is made of, and its checksums."""

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

#: What to do while no release is live.
NOTHING_LIVE = (
    "no release is live yet; the first build may still run (see `make up` or Airflow), "
    "otherwise run `python -m pipelines build`"
)


@dataclass(frozen=True)
class Release:
    """All lists of one cutoff; they become visible together or not at all.

    id: "<cutoff slug>-<first 8 of digest>". as_of, generated_at: ISO 8601 UTC. digest: see `ReleaseDigest`.
    bundles: name -> version. lists: surface -> number of owners. files: path -> sha256. list_bytes: of all encoded
    lists.
    parts: origins of its lists, {as_of, generated_at, bundles, code_version}: the build, with its id as "release", then
    each refresh, with the "bundles" that differ from the part before; empty for a build. Older versions wrote neither
    bundles nor code version. The header of a list names its part.
    erased: marks of the ids erased since it was built; the digest includes them.
    replaces: the previous release, if any.
    experiments: as in models/experiments.py, with the edition and, for each arm by surface, its owners and effect.
    `judged`: name -> version of the models trained before its temporal validation split, which the next build evaluates
    it with; empty without a validation split.
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
    parts: Sequence[Mapping[str, Any]] = field(default_factory=list)
    code_version: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    list_bytes: int = 0
    erased: Sequence[str] = field(default_factory=list)
    replaces: str = ""
    experiments: Sequence[Mapping[str, Any]] = field(default_factory=list)
    judged: Mapping[str, str] = field(default_factory=dict)

    @property
    def built(self) -> str:
        """The cutoff of its build, ISO 8601, which decides what may replace it.

        A refresh has newer data of some owners, but not more than the next build.
        """
        return str(self.parts[0]["as_of"]) if self.parts else self.as_of

    @property
    def build(self) -> str:
        """The id of its build."""
        return str(self.parts[0].get("release", self.id)) if self.parts else self.id

    def bundles_at(self, part: int) -> Mapping[str, str]:
        """Versions by name when the lists of a part were made."""
        if not self.parts or "bundles" not in self.parts[0]:
            return self.bundles
        return {name: v for known in self.parts[: part + 1] for name, v in known.get("bundles", {}).items()}

    def code_at(self, part: int) -> str:
        """The version of the code that made the lists of a part."""
        known = self.parts[part] if part < len(self.parts) else {}
        return str(known.get("code_version", self.code_version))

    def to_json(self) -> str:
        """The manifest with its own checksum as "sha256"."""
        fields = asdict(self)
        return json.dumps({**fields, "sha256": _sha256(fields)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Release:
        """Raises ReleaseIncomplete if a field is missing or the checksum is wrong."""
        try:
            fields = json.loads(text)
            written = fields.pop("sha256")
            release = cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReleaseIncomplete(
                f"expected a release manifest, got another file ({type(error).__name__}: {error}); build this cutoff "
                "again, or promote another release"
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
#: In the artefact root: one JSON line for each release that became live, and why.
PUBLISHES = "publishes.jsonl"


class ReleaseDigest:
    """sha256 over encoded lists by surface and owner, then over marks of erased ids.

    It depends neither on shards nor on the time.
    """

    def __init__(self) -> None:
        self._sha, self.size = hashlib.sha256(), 0

    def add_lists(self, surface: Surface, parts: Iterable[RankedLists]) -> None:
        """All lists of a surface. size: of all encoded lists so far, in bytes."""
        self.begin(surface)
        for part in parts:
            self.add(encode_lists(part))

    def begin(self, surface: Surface) -> None:
        self._sha.update(surface.value.encode())

    def add(self, lists: Iterable[bytes]) -> None:
        for value in lists:
            self._sha.update(value)
            self.size += len(value)

    def hexdigest(self, erased: Sequence[str] = ()) -> str:
        whole = self._sha.copy()
        for mark in erased:
            whole.update(mark.encode())
        return whole.hexdigest()


def shard_file(surface: Surface, index: int) -> str:
    """The path of a shard within the release's directory."""
    return f"{surface.folder}/{index:04d}.npz"


def popular_file(surface: Surface) -> str:
    """The path of a surface's popular list within the release's directory."""
    return f"{surface.folder}/popular.npz"


def last_published(root: Path) -> str | None:
    """The last release in the log of publishes that is still stored. root: of the artefacts."""
    log = root / PUBLISHES
    lines = log.read_text().splitlines() if log.is_file() else []
    names = (json.loads(line)["release"] for line in reversed(lines))
    return next((name for name in names if (root / "releases" / name / MANIFEST).is_file()), None)


def release_lists(directory: Path, release: Release, surface: Surface) -> Iterator[RankedLists]:
    """The stored shards of one surface, in owner order. Raises ReleaseIncomplete."""
    for shard in release.shards:
        if shard["surface"] == surface.value:
            yield open_lists(directory, release, shard_file(surface, shard["index"]))


def popular_list(directory: Path, release: Release, surface: Surface) -> RankedLists:
    """The list for owners without a list of their own. Raises ReleaseIncomplete."""
    return open_lists(directory, release, popular_file(surface))


def open_lists(directory: Path, release: Release, file: str) -> RankedLists:
    """The lists of one file. Raises ReleaseIncomplete if it differs from the manifest."""
    path = directory / file
    if not path.is_file() or sha256_of(path) != release.files.get(file):
        raise ReleaseIncomplete(
            f"{path} differs from its manifest (truncated, changed or missing); build this cutoff again, "
            "or promote another release"
        )
    return RankedLists.open(path)
