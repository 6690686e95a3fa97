"""Which releases there are, which is live, and how to go back: one command, one pointer move (M01-M05)."""

from __future__ import annotations

import logging
from typing import Any

from models.errors import ReleaseNotFound
from models.nouns.release import Keys, Release
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.release.budget import room_for
from pipelines.release.cache import checked, connect, current_release, decoded, wrapped
from pipelines.release.lease import lease
from pipelines.release.load import Loadable
from pipelines.release.publish import make_live, newer_live

log = logging.getLogger(__name__)


def list_releases(settings: Settings) -> list[dict[str, Any]]:
    """Every stored release, newest cutoff first: {release, as_of, generated_at, lists, state live|loaded|stored}."""
    live, loaded = current_release(settings), loaded_before(settings)
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
    history = loaded_before(settings)
    if not history:
        raise ReleaseNotFound(
            "no earlier release to go back to; `python -m pipelines releases` lists what is stored, "
            "`promote` makes any of them live"
        )
    return _make_live(settings, history[0], "rolled back", True, dry_run)


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
            previous = decoded(client.get(keys.current))
            return {
                "published": False,
                "release": release,
                "previous": previous,
                "reason": reason,
                **room_for(settings, client, loadable.manifest),
            }


def loaded_before(settings: Settings) -> list[str]:
    """The builds that were live before this one and can be gone back to, the last first."""
    with wrapped("reading the release history"):
        return [decoded(v) for v in connect(settings).lrange(Keys(settings.namespace).history, 0, -1)]


def release_of(settings: Settings, release: str | None) -> Release:
    """The named release, or the live one. Raises ReleaseNotFound."""
    name = release or current_release(settings)
    if name is None:
        raise ReleaseNotFound("no release is live yet; run `python -m pipelines build`")
    return Artifacts(settings).release(name)
