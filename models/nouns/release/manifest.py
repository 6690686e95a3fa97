"""The manifest of a release: what it is made of, and the checksums that hold it together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from models.errors import ReleaseIncomplete


@dataclass(frozen=True)
class Release:
    """The complete set of lists of one cutoff, visible all at once or not at all.

    id: "<cutoff slug>-<first 8 of digest>". as_of, generated_at: ISO 8601 UTC. digest: sha256 over all encoded
    lists, surface by surface, owners ascending; it does not depend on shards or on when it was made.
    bundles: name -> version. lists: surface -> number of owners. parts: where its lists came from, {as_of,
    generated_at}: the build, whose name is "release", then each refresh that added lists; the header of a list names
    its part. A build itself has none. files: path -> sha256 of every file with lists. list_bytes: of all encoded lists.
    erased: marks of the people taken out since it was built, each the name of a receipt; they count in the digest.
    replaces: the release whose place it takes, if any. experiments: as models/recipe/experiments.py has them, in whose
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
