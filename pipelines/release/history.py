"""Which releases there are, which is live, and how to go back: one command, one pointer move (M01-M05)."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from models.errors import ReleaseNotFound
from models.nouns.release import Keys, Release
from models.nouns.release.files import last_published as published_last
from models.settings import Settings
from pipelines.artifacts import BUNDLES, HOLDOUTS, Artifacts
from pipelines.data.erasure.erase import erase_returned
from pipelines.judging.report.kept import retire_reports
from pipelines.release.budget import room_for
from pipelines.release.cache import checked, connect, text, wrapped
from pipelines.release.lease import lease
from pipelines.release.load import Loadable
from pipelines.release.publish import make_live, newer_live

log = logging.getLogger(__name__)
_RUN_DAYS = 3
_BUSY_S = 2 * 86_400  # a build under way may need what is younger, whatever its cutoff


def current_release(settings: Settings) -> str | None:
    """The id of the live release."""
    with wrapped("reading the live release"):
        value = connect(settings).get(Keys(settings.namespace).current)
    return text(value) or None


def last_published(settings: Settings) -> str | None:
    """The release that went live last, where it is stored still: what was live if Redis has forgotten it."""
    return published_last(settings.artifacts)


def list_releases(settings: Settings) -> list[dict[str, Any]]:
    """Every stored release, newest cutoff first: {release, as_of, generated_at, lists, state live|loaded|stored}."""
    live, loaded = current_release(settings), _history(settings)
    state = dict.fromkeys(loaded, "loaded") | {live: "live"}
    return [
        {
            "release": r.id,
            "as_of": r.as_of,
            "generated_at": r.generated_at,
            "lists": sum(r.lists.values()),
            "state": state.get(r.id, "stored"),
        }
        for r in reversed(Artifacts(settings).releases())
    ]


def promote(settings: Settings, release: str, force: bool = True, dry_run: bool = False) -> dict[str, Any]:
    """Load a stored release into Redis if it is not there, then make it live.

    force: whatever its cutoff; else a live release with a newer one stays. dry_run: open and measure only. Returns
    what `publish_release` does.
    """
    return _make_live(settings, release, "promoted by hand", force, dry_run)


def rollback(settings: Settings, dry_run: bool = False) -> dict[str, Any]:
    """Make the build that was live before this one live again. Raises ReleaseNotFound where there is none."""
    history = _history(settings)
    if not history:
        raise ReleaseNotFound(
            "no earlier release to go back to; `python -m pipelines releases` lists what is stored, "
            "`promote` makes any of them live"
        )
    return _make_live(settings, history[0], "rolled back", True, dry_run)


def retire(settings: Settings) -> dict[str, list[str]]:
    """Delete builds beyond `keep_artifacts`, with their reports, and all but the last refresh of each, then snapshots
    and bundles that no kept release names, old trials of tuning and old staging.

    What is live or was live before it is never deleted. Who was erased and came back with a build that was under way
    then is erased again, before.
    """
    erase_returned(settings)
    artifacts = Artifacts(settings)
    releases = artifacts.releases()
    safe = {current_release(settings), *_history(settings)} | _worth_keeping(releases, settings.keep_artifacts)
    kept = [r for r in releases if r.id in safe]
    gone = {
        "releases": _drop(artifacts, "releases", {r.id for r in kept}),
        "snapshots": _drop(artifacts, "snapshots", {r.snapshot for r in kept}, settings.keep_artifacts),
    }
    for store, named in ((BUNDLES, [r.bundles for r in kept]), (HOLDOUTS, [r.judged for r in kept])):
        for folder in sorted((artifacts.root / store).glob("*")):
            kind = f"{store}/{folder.name}"
            gone[kind] = _drop(artifacts, kind, {n.get(folder.name, "") for n in named}, settings.keep_artifacts)
    gone["tuning"] = _drop(artifacts, "tuning", set(), settings.keep_artifacts)
    gone["reports"] = retire_reports(artifacts, (r.id for r in kept))
    gone["runs"] = _drop_runs(artifacts)
    return {kind: names for kind, names in gone.items() if names}


def _worth_keeping(releases: Sequence[Release], most: int) -> set[str]:
    """The newest builds, and of each the newest refresh: hourly refreshes push no build out. releases: oldest first."""
    builds = [r for r in releases if not r.parts][-most:]
    refreshed = {r.built: r.id for r in releases if r.parts}
    return {b.id for b in builds} | {refreshed[b.as_of] for b in builds if b.as_of in refreshed}


def _make_live(settings: Settings, release: str, reason: str, force: bool, dry_run: bool) -> dict[str, Any]:
    loadable = Loadable.open(Artifacts(settings), release)
    with wrapped("making a release live"):
        client, keys = checked(settings), Keys(settings.namespace)
        with lease(client, keys) as held:
            newer = newer_live(client, keys, loadable.manifest)
            if newer and not force:
                reason = f"{newer} with a newer cutoff is live and was not forced to step back"
            elif dry_run:
                reason = f"a dry run: {release} would be {reason}" + (f", newer cutoff: {newer}" if newer else "")
            else:
                log.warning("release made live id=%s reason=%s newer=%s", release, reason, newer)
                return make_live(settings, held, loadable, reason)
            previous = text(client.get(keys.current))
            return {
                "published": False,
                "release": release,
                "previous": previous,
                "reason": reason,
                **room_for(settings, client, loadable.manifest),
            }


def _history(settings: Settings) -> list[str]:
    with wrapped("reading the release history"):
        return [text(v) for v in connect(settings).lrange(Keys(settings.namespace).history, 0, -1)]


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


def release_of(settings: Settings, release: str | None) -> Release:
    """The named release, or the live one. Raises ReleaseNotFound."""
    name = release or current_release(settings)
    if name is None:
        raise ReleaseNotFound("no release is live yet; run `python -m pipelines build`")
    return Artifacts(settings).release(name)
