"""References that pass between the steps of a build: names, versions and counts, never data.

A task of Airflow hands one on as JSON. `as_json` leaves out what has its default; `from_json` refuses unknown keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from models.errors import DataError


class Ref:
    """What all references do; each is a frozen dataclass."""

    def as_json(self) -> dict[str, Any]:
        """Its fields, without those that have their default."""
        found = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            default = f.default if f.default_factory is MISSING else f.default_factory()
            if value != default:
                found[f.name] = dict(value) if isinstance(value, Mapping) else value
        return found

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Raises DataError where a key is unknown or one is missing."""
        known = fields(cls)  # type: ignore[arg-type]
        needed = {f.name for f in known if f.default is MISSING and f.default_factory is MISSING}
        unknown, missing = sorted(set(given) - {f.name for f in known}), sorted(needed - set(given))
        if unknown or missing:
            raise DataError(
                f"expected a {cls.__name__} of {', '.join(f.name for f in known)}; got with unknown keys "
                f"[{', '.join(unknown)}], without [{', '.join(missing)}]: clear the task that made it, so that this "
                "version makes it again"
            )
        return cls(**given)


@dataclass(frozen=True)
class BuildRef(Ref):
    """A build on its way. run: its staging directory. as_of: the cutoff, ISO 8601, and because: the rule that chose it.

    fresh: rows and settings are read anew. snapshot, bundles (name -> version), release: what it has stored so far.
    validation_models: name -> version of the hold-out's models that judged it."""

    run: str
    as_of: str
    because: str = ""
    fresh: bool = False
    snapshot: str = ""
    bundles: Mapping[str, str] = field(default_factory=dict)
    validation_models: Mapping[str, str] = field(default_factory=dict)
    release: str = ""


@dataclass(frozen=True)
class BundleRef(Ref):
    """A stored bundle. version: "" where it was left out; then note (a base model) or reason (a ranker) says why."""

    name: str
    version: str
    note: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ShardRef(Ref):
    """Owners start..stop-1 of a surface's owners, ascending, to be scored with these bundles on this snapshot."""

    surface: str
    index: int
    start: int
    stop: int
    snapshot: str
    bundles: Mapping[str, str]


@dataclass(frozen=True)
class ScoredShard(Ref):
    """The lists of a shard. sha256: of its file. code: digest of the code that made it. capped: see `open_shards`."""

    surface: str
    index: int
    owners: int
    sha256: str
    code: str = ""
    capped: bool = False


@dataclass(frozen=True)
class ReleaseRef(Ref):
    """A stored release. lists: how many, by surface."""

    release: str
    digest: str
    lists: Mapping[str, int]


@dataclass(frozen=True)
class GateRef(Ref):
    """What the gate says of a release. champion: the live release, or None. reasons: the first of them."""

    run: str
    release: str
    champion: str | None
    verdict: str
    reasons: list[str]
