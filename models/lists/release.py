"""The manifest of a release: its parts and checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from models.data.bundle import sha256_of
from models.errors import ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import encode_lists
from models.schema import LIST_KINDS, ListKind

#: What to do while no release is live.
NOTHING_LIVE = (
    "no release is live yet; the first build may still run (see `make up` or Airflow), "
    "otherwise run `python -m pipelines build`"
)


@dataclass(frozen=True)
class Release:
    """All lists of one cutoff. They become visible together or not at all.

    id: "<cutoff slug>-<first 8 of digest>". as_of, generated_at: ISO 8601 UTC. digest: see `ReleaseDigest`.
    bundles: name -> version. lists: kind of list -> number of owners. files: path -> sha256.
    list_bytes: size of all encoded lists.
    parts: empty for a build. Else the build (with its id as "release"), then each refresh: {as_of, generated_at,
    bundles, code_version}. A part has the "bundles" that differ from the part before. The header of a list has the
    index of its part. Older versions stored neither bundles nor code version.
    erased: marks of the ids erased since the build; the digest includes them.
    replaces: the previous release, if any.
    experiments: as in models/experiments.py, with the edition and, for each arm by surface, its owners and effect.
    `judged`: name -> version of the models trained before the temporal validation split. The next build evaluates them.
    Empty without a validation split.
    digest_format: what the digest covers. Older versions stored none, which is 1.
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
    digest_format: int = 1

    @property
    def built(self) -> str:
        """Return the cutoff of its build, ISO 8601. It decides which releases may replace this one.

        A refresh has newer data of some owners, but not more than the next build.
        """
        return str(self.parts[0]["as_of"]) if self.parts else self.as_of

    @property
    def build(self) -> str:
        return str(self.parts[0].get("release", self.id)) if self.parts else self.id

    @property
    def order(self) -> tuple[str, str, str]:
        """Return what tells which of two releases is older: the cutoff of the build, then the refresh, then its end."""
        return self.built, self.as_of, self.generated_at

    def older_than(self, other: Release) -> bool:
        """Return whether its build has an older cutoff, or the same one and it was refreshed or made earlier."""
        return self.order < other.order

    @property
    def kinds(self) -> tuple[ListKind, ...]:
        """Return the kinds of its lists, by code. Older versions stored no similar lists."""
        return tuple(kind for kind in LIST_KINDS if kind.value in self.lists)

    def cap(self, kind: ListKind) -> float:
        """Return the multiple of its cap on exposure (see models/recommender/exposure.py), 0 for none."""
        return float(self.shares.get(kind.value, {}).get("exposure", {}).get("multiple", 0.0))

    def bundles_at(self, part: int) -> Mapping[str, str]:
        """Return the versions by name when the lists of a part were made."""
        if not self.parts or "bundles" not in self.parts[0]:
            return self.bundles
        return {name: v for known in self.parts[: part + 1] for name, v in known.get("bundles", {}).items()}

    def code_at(self, part: int) -> str:
        """Return the version of the code that made the lists of a part."""
        known = self.parts[part] if part < len(self.parts) else {}
        return str(known.get("code_version", self.code_version))

    def to_json(self) -> str:
        """Return the manifest with its checksum as "sha256"."""
        fields = asdict(self)
        return json.dumps({**fields, "sha256": _sha256(fields)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Release:
        """Read a manifest. Raises ReleaseIncomplete if a field is missing or the checksum is wrong."""
        try:
            fields = json.loads(text)
            written = fields.pop("sha256")
            release = cls(**fields)
            if release.digest_format not in DIGEST_FORMATS:
                raise ValueError(f"digest_format {release.digest_format!r} of a newer version")
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
#: A file in the artefact root: one JSON line per release that became live, the reason, and who decided it.
PUBLISHES = "publishes.jsonl"
#: Reasons of lines about a release that continues the one before it. Nobody decided anything.
REFRESHED, ERASED, RELOADED = "refreshed", "a person was erased from it", "Redis had lost it"


#: What digests covered, see `ReleaseDigest`; new releases have the last. A release is verified by its own.
DIGEST_FORMATS = (1, 2)
DIGEST_FORMAT = DIGEST_FORMATS[-1]


class ReleaseDigest:
    """Computes sha256 over encoded lists by kind and owner, then over marks of erased ids.

    Format 2 also covers the popular list of each kind, and what live lists are made from: bundles, settings and
    experiments. It depends on neither shards nor time. size: of all lists so far, in bytes.
    """

    def __init__(self, format: int = DIGEST_FORMAT) -> None:
        self._sha, self._format, self.size = hashlib.sha256(), format, 0

    def add_lists(self, kind: ListKind, popular: RankedLists, parts: Iterable[RankedLists]) -> None:
        self.begin(kind, *encode_lists(popular))
        for part in parts:
            self.add(encode_lists(part))

    def begin(self, kind: ListKind, popular: bytes) -> None:
        self._sha.update(kind.value.encode())
        if self._format > 1:
            self.add([popular])

    def add(self, lists: Iterable[bytes]) -> None:
        for value in lists:
            self._sha.update(value)
            self.size += len(value)

    def hexdigest(self, release: Release) -> str:
        """Return the digest of a release whose lists were added."""
        whole = self._sha.copy()
        if self._format > 1:
            more = [dict(release.bundles), dict(release.settings), list(release.experiments)]
            whole.update(json.dumps(more, sort_keys=True).encode())
        for mark in release.erased:
            whole.update(mark.encode())
        return whole.hexdigest()

    def named(self, draft: Release, slug: str) -> Release:
        """Return a draft with its id, digest and size. slug: of the cutoff."""
        whole = self.hexdigest(draft)
        name = f"{slug}-{whole[:8]}"
        return replace(draft, id=name, digest=whole, digest_format=self._format, list_bytes=self.size)


def shard_file(kind: ListKind, index: int) -> str:
    """Return the path of a shard within the release's directory."""
    return f"{kind.folder}/{index:04d}.npz"


def popular_file(kind: ListKind) -> str:
    """Return the path of the popular list of a kind within the release's directory."""
    return f"{kind.folder}/popular.npz"


def rollback_to(live: Release | None, before: Iterable[Release]) -> Release | None:
    """Return the release to which a rollback leads: the last live one that is older than the present one.

    before: those that were live, the last one first.
    """
    return next((r for r in before if live is None or r.older_than(live)), None)


def last_published(root: Path) -> str | None:
    """Return the last published release that is still stored. root: of the artefacts."""
    names = (line["release"] for line in _published(root))
    return next((name for name in names if (root / "releases" / name / MANIFEST).is_file()), None)


def went_live(root: Path, name: str) -> dict[str, Any] | None:
    """Return how a release, or the one that it continues, last went live: {at, release, reason, by if a person did it}.

    root: of the artefacts. None if their log does not say.
    """
    for line in _published(root):
        if line["release"] == name and line["reason"] in (REFRESHED, ERASED):
            name = line["previous"]
        elif line["release"] == name and line["reason"] != RELOADED:
            return line
    return None


def _published(root: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the log of releases that became live, the newest first."""
    log = root / PUBLISHES
    return map(json.loads, reversed(log.read_text().splitlines() if log.is_file() else []))


def release_lists(directory: Path, release: Release, kind: ListKind) -> Iterator[RankedLists]:
    """Yield the stored shards of one kind of list, in owner order. Raises ReleaseIncomplete."""
    for shard in release.shards:
        if shard["surface"] == kind.value:
            yield open_lists(directory, release, shard_file(kind, shard["index"]))


def popular_list(directory: Path, release: Release, kind: ListKind) -> RankedLists:
    """Read the list for owners without their own; empty for similar lists. Raises ReleaseIncomplete."""
    return open_lists(directory, release, popular_file(kind))


def open_lists(directory: Path, release: Release, file: str) -> RankedLists:
    """Read the lists of one file. Raises ReleaseIncomplete if it differs from the manifest."""
    path = directory / file
    if not path.is_file() or sha256_of(path) != release.files.get(file):
        raise ReleaseIncomplete(
            f"{path} differs from its manifest (truncated, changed or missing); build this cutoff again, "
            "or promote another release"
        )
    return RankedLists.open(path)
