"""The results of steps: names, versions, counts and figures, never data.

Airflow tasks pass them as JSON. `as_json` omits defaults. `from_json` refuses unknown keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from models.errors import DataError


class Ref:
    """Base of all references. Each is a frozen dataclass."""

    def as_json(self) -> dict[str, Any]:
        found = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            default = f.default if f.default_factory is MISSING else f.default_factory()
            if value != default:
                found[f.name] = dict(value) if isinstance(value, Mapping) else value
        return found

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Create from JSON. Raises DataError for an unknown or missing key."""
        known = fields(cls)  # type: ignore[arg-type]
        needed = {f.name for f in known if f.default is MISSING and f.default_factory is MISSING}
        unknown, missing = sorted(set(given) - {f.name for f in known}), sorted(needed - set(given))
        if unknown or missing:
            raise DataError(
                f"expected a {cls.__name__} of {', '.join(f.name for f in known)}; got unknown keys "
                f"[{', '.join(unknown)}], missing [{', '.join(missing)}]: clear the task that made it, so that this "
                "version makes it again"
            )
        return cls(**given)


@dataclass(frozen=True)
class BuildRef(Ref):
    """A build in progress. run: its staging directory. as_of: the cutoff, ISO 8601. because: the rule that chose it.

    fresh: rows and settings are read again. snapshot, bundles (name -> version), release: stored so far.
    validation_models: name -> version of the models that evaluated it.
    """

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
    """A stored bundle. version: "" if it was left out. Then note (base model) or reason (ranker) says why."""

    name: str
    version: str
    note: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ShardRef(Ref):
    """Owners start..stop-1 of a surface, ascending, to be scored with these bundles on this snapshot."""

    surface: str
    index: int
    start: int
    stop: int
    snapshot: str
    bundles: Mapping[str, str]


@dataclass(frozen=True)
class ScoredShard(Ref):
    """The lists of a shard. sha256: of its file. code: digest of its code. capped: see `open_shards`."""

    surface: str
    index: int
    owners: int
    sha256: str
    code: str = ""
    capped: bool = False


@dataclass(frozen=True)
class ReleaseRef(Ref):
    """A stored release. lists: number of lists by surface."""

    release: str
    digest: str
    lists: Mapping[str, int]


@dataclass(frozen=True)
class GateRef(Ref):
    """The gate's decision on a release. champion: the live release, or None. reasons: the first ones."""

    run: str
    release: str
    champion: str | None
    verdict: str
    reasons: list[str]


@dataclass(frozen=True)
class EvaluationRef(Ref):
    """The evaluation of a build. report: the page. cut: of the validation split, or None with the reason in note."""

    report: str
    cut: str | None
    note: str | None


@dataclass(frozen=True)
class ReportRef(Ref):
    """The report of a build. report: the page. verdict, reasons: of the gate."""

    report: str
    release: str
    verdict: str | None
    reasons: list[str]


@dataclass(frozen=True)
class PublishRef(Ref):
    """Whether a release is live now. previous: the earlier live one. lists, bytes_per_list: of a loaded release.

    redis_bytes_per_list: as Redis stores it. needs_mb, used_mb, limit_mb: memory of Redis if nothing was loaded.
    by: the person who decided it by hand.
    """

    published: bool
    release: str
    reason: str
    previous: str | None = None
    lists: int | None = None
    bytes_per_list: float | None = None
    redis_bytes_per_list: float | None = None
    needs_mb: float | None = None
    used_mb: float | None = None
    limit_mb: float | None = None
    by: str = ""
    warning: str = ""


@dataclass(frozen=True)
class ChangesRef(Ref):
    """Changes that a refresh found and staged. reason: why nothing changes, or "". refreshes: the live release.

    bundles: those that the refresh extends.
    again, new: owners by entity: those who get a new list, and those newer than the build.
    """

    reason: str
    run: str = ""
    as_of: str = ""
    refreshes: str = ""
    bundles: Mapping[str, str] = field(default_factory=dict)
    again: Mapping[str, int] = field(default_factory=dict)
    new: Mapping[str, int] = field(default_factory=dict)
    unknown_events: int = 0


@dataclass(frozen=True)
class RescoredRef(Ref):
    """The new lists of a surface, staged. reached: owners without events whose lists may get a new item."""

    lists: int
    reached: int
    sha256: str


@dataclass(frozen=True)
class RefreshedRef(Ref):
    """A stored refresh. refreshes: the release that it replaces. by_surface: see `changed`."""

    release: str
    refreshes: str
    digest: str
    by_surface: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class PointRef(Ref):
    """A point of a model's grid to try on a snapshot. values: by setting. index: place in the round."""

    snapshot: str
    model: str
    values: Mapping[str, Any]
    index: int


@dataclass(frozen=True)
class TrialRef(Ref):
    """A tried point. ndcg: at 10, for owners with a first event after the cutoff, or None if fitting failed."""

    model: str
    values: Mapping[str, Any]
    ndcg: float | None
    seconds: float
