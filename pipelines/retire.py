"""Delete what is old: builds, their reports, and what no kept release names."""

from __future__ import annotations

import time
from collections.abc import Sequence

from models.nouns.release import Release
from models.settings import Settings
from pipelines.artifacts import BUNDLES, HOLDOUTS, Artifacts
from pipelines.data.erasure.erase import erase_returned
from pipelines.judging.report.kept import retire_reports
from pipelines.release.cache import current_release
from pipelines.release.history import loaded_before

_RUN_DAYS = 3


_BUSY_S = 2 * 86_400  # a build under way may need what is younger, whatever its cutoff


def retire(settings: Settings) -> dict[str, list[str]]:
    """Delete builds beyond `keep_artifacts`, with their reports, and all but the last refresh of each, then snapshots
    and bundles that no kept release names, old trials of tuning and old staging.

    What is live or was live before it is never deleted. Who was erased and came back with a build that was under way
    then is erased again, before.
    """
    erase_returned(settings)
    artifacts = Artifacts(settings)
    releases = artifacts.releases()
    safe = {current_release(settings), *loaded_before(settings)} | _worth_keeping(
        releases, settings.releases.keep_on_disk
    )
    kept = [r for r in releases if r.id in safe]
    gone = {
        "releases": _drop(artifacts, "releases", {r.id for r in kept}),
        "snapshots": _drop(artifacts, "snapshots", {r.snapshot for r in kept}, settings.releases.keep_on_disk),
    }
    for store, named in ((BUNDLES, [r.bundles for r in kept]), (HOLDOUTS, [r.judged for r in kept])):
        for folder in sorted((artifacts.root / store).glob("*")):
            kind = f"{store}/{folder.name}"
            gone[kind] = _drop(artifacts, kind, {n.get(folder.name, "") for n in named}, settings.releases.keep_on_disk)
    gone["tuning"] = _drop(artifacts, "tuning", set(), settings.releases.keep_on_disk)
    gone["reports"] = retire_reports(artifacts, (r.id for r in kept))
    gone["runs"] = _drop_runs(artifacts)
    return {kind: names for kind, names in gone.items() if names}


def _worth_keeping(releases: Sequence[Release], most: int) -> set[str]:
    """The newest builds, and of each the newest refresh: hourly refreshes push no build out. releases: oldest first."""
    builds = [r for r in releases if not r.parts][-most:]
    refreshed = {r.built: r.id for r in releases if r.parts}
    return {b.id for b in builds} | {refreshed[b.as_of] for b in builds if b.as_of in refreshed}


def _drop(artifacts: Artifacts, kind: str, kept: set[str], spare: int = 0) -> list[str]:
    """Remove every stored directory of a kind but those named and the newest `spare`."""
    stored = artifacts.stored(kind)
    newest = {p.name for p in stored[-spare:]} if spare else set()
    limit = time.time() - _BUSY_S
    old = [p for p in stored if p.name not in kept | newest and not (spare and p.stat().st_mtime > limit)]
    for path in old:
        artifacts.remove(kind, path.name)
    return [p.name for p in old]


def _drop_runs(artifacts: Artifacts) -> list[str]:
    limit = time.time() - _RUN_DAYS * 86_400  # the age of a staging folder is the disk's business, not a cutoff
    old = [p for p in artifacts.stored("runs") if p.stat().st_mtime < limit]
    for path in old:
        artifacts.remove("runs", path.name)
    return [p.name for p in old]
