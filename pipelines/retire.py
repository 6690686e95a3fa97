"""Delete old builds, reports, artefacts and posted events."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

import sql
from models.lists.release import Release
from models.settings.settings import Settings
from pipelines.erase.erase import erase_returned
from pipelines.export.snapshot import read_manifest
from pipelines.postgres import engine, rows, transaction
from pipelines.publish.history import loaded_before
from pipelines.redis_client import current_release
from pipelines.report.store import retire_reports
from pipelines.store.artifacts import BUNDLES, CUTS, HOLDOUTS, Artifacts

_RUN_DAYS = 3
#: Days without use after which data of a past cutoff is deleted. They exceed a month between builds.
_CUT_DAYS = 40


_BUSY_S = 2 * 86_400  # a running build may need younger data, whatever their cutoff


def retire(settings: Settings) -> dict[str, list[str]]:
    """Delete builds beyond `keep_artifacts` with their reports, and all but the last refresh of each build.

    Also deletes snapshots and bundles that no kept release names, unused cutoffs, old tuning trials and old staging.
    Never deletes the live release and those loaded before it. First repeats the erasure of people that a running build
    restored.
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
    gone[CUTS] = artifacts.remove_cuts(time.time() - _CUT_DAYS * 86_400)
    gone["tuning"] = _drop(artifacts, "tuning", set(), settings.releases.keep_on_disk)
    gone["reports"] = retire_reports(artifacts, (r.id for r in kept))
    gone["runs"] = _drop_runs(artifacts)
    return {kind: names for kind, names in gone.items() if names}


def _worth_keeping(releases: Sequence[Release], most: int) -> set[str]:
    """Return the newest builds with the newest refresh of each. releases: oldest first."""
    builds = [r for r in releases if not r.parts][-most:]
    refreshed = {r.built: r.id for r in releases if r.parts}
    return {b.id for b in builds} | {refreshed[b.as_of] for b in builds if b.as_of in refreshed}


def _drop(artifacts: Artifacts, kind: str, kept: set[str], spare: int = 0) -> list[str]:
    """Remove every stored directory of a kind except the named ones and the newest `spare`."""
    stored = artifacts.stored(kind)
    newest = {p.name for p in stored[-spare:]} if spare else set()
    limit = time.time() - _BUSY_S
    old = [p for p in stored if p.name not in kept | newest and not (spare and p.stat().st_mtime > limit)]
    for path in old:
        artifacts.remove(kind, path.name)
    return [p.name for p in old]


def _drop_runs(artifacts: Artifacts) -> list[str]:
    limit = time.time() - _RUN_DAYS * 86_400  # age on disk, independent of cutoffs
    old = [p for p in artifacts.stored("runs") if p.stat().st_mtime < limit]
    for path in old:
        artifacts.remove("runs", path.name)
    return [p.name for p in old]


log = logging.getLogger(__name__)
#: Longer than any report reads back: the maximum of [engagement] window_days plus attribution_days.
SHOWN_DAYS = 460
_FOLDER = "retention"


def prune_posted(settings: Settings, now: datetime | None = None) -> dict[str, int]:
    """Delete posted rows by age in one transaction. Return nonzero counts by kind.

    Keeps events of unknown ids while the views lack rows. Raises ServiceError, ContractError.
    """
    now = now or datetime.now(UTC)  # noqa: TID251 - age of posted rows, independent of builds
    before = {
        "strangers_before": now - timedelta(days=settings.events.strangers_days),
        "shown_before": now - timedelta(days=SHOWN_DAYS),
    }
    names = (
        ["impressions", "answers", "set_aside"]
        if _views_lack(settings)
        else ["strangers", "impressions", "answers", "set_aside"]
    )
    with transaction(engine(settings)) as connection:
        gone = {name: int(connection.execute(text(sql.load(name, _FOLDER)), before).rowcount) for name in names}
    log.info("deleted posted rows past their retention: %s", gone)
    return {name: n for name, n in gone.items() if n}


def _views_lack(settings: Settings) -> bool:
    """Return whether the views have so few rows that a build would stop."""
    stored = Artifacts(settings).stored("snapshots")
    if not stored:
        return False
    there, counts = rows(engine(settings), "doctor/sizes")[0], read_manifest(stored[-1])["counts"]
    share = 1 - settings.export.missing_share
    lack = there.users < share * counts["users"] or there.startups < share * counts["startups"]
    if lack:
        log.warning(
            "events of unknown ids are kept: the platform has %d people and %d startups, snapshot %s has %d and %d",
            there.users,
            there.startups,
            stored[-1].name,
            counts["users"],
            counts["startups"],
        )
    return lack
