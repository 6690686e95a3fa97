"""A diagnosis, its result, and the system state that all diagnoses read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from models.data.bundle import Bundle
from models.errors import BundleError, MatchbookError
from models.lists.release import Release
from models.recommender.surface import open_bundles
from models.settings.settings import Settings
from pipelines.export.snapshot import read_manifest
from pipelines.redis_client import current_release
from pipelines.report.store import reports
from pipelines.store.artifacts import Artifacts


class State(StrEnum):
    """Whether the problem of a diagnosis exists now; unknown if data are missing."""

    FOUND, WELL, UNKNOWN = "found", "well", "unknown"


@dataclass(frozen=True)
class Diagnosis:
    """One diagnosis.

    id: P01 … P09, or a word. title: the problem. says: the answer in one sentence. cure: what to do about the problem.
    figures: the evidence as JSON values.
    """

    id: str
    title: str
    state: State
    says: str
    cure: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class SystemState:
    """The state of one system, read once and on demand.

    settings: with the addresses of both servers. running: whether the servers run. at: the present.
    """

    settings: Settings
    running: bool
    at: datetime

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.settings)

    @cached_property
    def live(self) -> str | None:
        """Return the id of the live release; None if there is none or Redis does not answer."""
        try:
            return current_release(self.settings) if self.running else None
        except MatchbookError:
            return None

    @cached_property
    def release(self) -> Release | None:
        """Return the live release, else the newest stored one. Raises ReleaseError if its manifest is damaged."""
        stored = self.artifacts.stored("releases")
        name = self.live or (stored[-1].name if stored else None)
        return self.artifacts.release(name) if name else None

    @cached_property
    def snapshot(self) -> Mapping[str, Any]:
        """Return the manifest of the release's snapshot, else of the newest; empty without any. Raises DataError."""
        stored = {path.name: path for path in self.artifacts.stored("snapshots")}
        name = self.release.snapshot if self.release is not None and self.release.snapshot in stored else ""
        path = stored.get(name) or next(reversed(stored.values()), None)
        return read_manifest(path) if path is not None else {}

    @cached_property
    def report(self) -> Mapping[str, Any]:
        """Return the report.json of the live release's build, else of the newest build; it may be empty."""
        found = list(reports(self.settings))
        mine = [told for told in found if self.release is not None and told["release"] == self.release.build]
        return (mine or found or [{}])[0]

    @property
    def surfaces(self) -> Mapping[str, Any]:
        """Return the evaluation in `report` by surface."""
        return (self.report.get("evaluation") or {}).get("surfaces") or {}

    @cached_property
    def bundles(self) -> Mapping[str, Bundle | BundleError]:
        """Return every bundle of the release by name, or the error that prevents opening it.

        A pinned path replaces the release's own bundle (M04).
        """
        found: dict[str, Bundle | BundleError] = {}
        for name, version in (self.release.bundles if self.release is not None else {}).items():
            try:
                found |= open_bundles(self.settings.artifacts, {name: version}, self.settings)
            except BundleError as error:
                found[name] = error
        return found

    def opened(self, name: str) -> Bundle | None:
        """Return a bundle of the release; None if it does not exist or does not open."""
        found = self.bundles.get(name)
        return found if isinstance(found, Bundle) else None


def unknown(id_: str, title: str, says: str, cure: str) -> Diagnosis:
    return Diagnosis(id_, title, State.UNKNOWN, says, cure)


def answered(id_: str, title: str, found: bool, says: str, cure: str, figures: Mapping[str, Any]) -> Diagnosis:
    """Return a diagnosis with an answer; figures must be JSON values."""
    return Diagnosis(id_, title, State.FOUND if found else State.WELL, says, cure, json.loads(json.dumps(figures)))
