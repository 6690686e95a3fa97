"""List, promote and roll back releases: each is one command and one move of the pointer (M01-M05)."""

from __future__ import annotations

import logging
from typing import Any

import redis

from models.errors import MatchbookError, ReleaseError, ReleaseNotFound
from models.lists.redis_format import Keys
from models.lists.release import NOTHING_LIVE, RELOADED, Release, last_published, rollback_to
from models.schema import Entity, Surface
from models.settings.settings import Settings
from pipelines.publish.lease import lease
from pipelines.publish.load import Loadable, room_for
from pipelines.publish.publish import keep_loaded, make_live, newer_live
from pipelines.redis_client import checked, connect, current_release, decoded, live_release, redis_errors
from pipelines.refs import PublishRef
from pipelines.run.run import parse_instant
from pipelines.store.artifacts import Artifacts

log = logging.getLogger(__name__)


def restore_live(settings: Settings, client: redis.Redis, keys: Keys) -> str | None:
    """Reload the last published release if Redis lost it, else renew its expiry.

    Returns the reloaded release, or None if nothing was missing. A failed reload is logged and also returns None, so
    that filters are updated anyway. The caller wraps Redis errors other than refusals.
    """
    try:
        if not _lost(settings, client, keys):
            _prolong(settings, client, keys)
            return None
        with lease(client, keys) as held:
            name = _lost(settings, client, keys)  # another process may have published meanwhile
            if name:
                log.warning("Redis has lost %s, which is loaded again", name)
                make_live(settings, held, Loadable.open(Artifacts(settings), name), RELOADED)
            return name or None
    except (MatchbookError, OSError, redis.ResponseError) as error:
        log.error("the last published release cannot be loaded again: %s", error)
        return None


def _lost(settings: Settings, client: redis.Redis, keys: Keys) -> str:
    """Return the release that Redis should hold and lacks, or an empty text.

    Normally this is the last entry of the publish log. The pointer may name a newer release, if its publisher died
    before it wrote the log or used another store. It may name an older one after Redis data were restored.
    """
    last, live = last_published(settings.artifacts) or "", decoded(client.get(keys.current))
    if not live:
        return last
    if not _is_whole(client, keys, live):
        return live if (settings.artifacts / "releases" / live).is_dir() else last
    return last if last and last != live and _is_older(settings, live, last) else ""


def _is_older(settings: Settings, release: str, other: str) -> bool:
    """Return whether a release was built before another; False if one is not stored here."""
    try:
        builds = [parse_instant(Artifacts(settings).release(name).built) for name in (release, other)]
    except ReleaseError:
        return False
    return builds[0] < builds[1]


def _is_whole(client: redis.Redis, keys: Keys, release: str) -> bool:
    """Return whether all keys of the live release exist with the expected number of lists.

    Unreadable keys count as missing.
    """
    try:
        manifest = live_release(client, keys)
    except (ReleaseError, redis.ResponseError) as error:
        log.warning("the manifest of release %s in Redis cannot be read: %s", release, error)
        return False
    if manifest is None or not {*Surface} <= {*manifest.kinds}:
        return False
    pipe = client.pipeline(transaction=False)
    for entity in Entity:
        pipe.exists(keys.items(release, entity))
    for kind in manifest.kinds:
        pipe.hlen(keys.lists(release, kind))
    found: list[object] = pipe.execute(raise_on_error=False)
    return found == [1 for _ in Entity] + [manifest.lists[kind.value] + 1 for kind in manifest.kinds]


def _prolong(settings: Settings, client: redis.Redis, keys: Keys) -> None:
    left = int(client.ttl(keys.manifest(decoded(client.get(keys.current)))))
    if 0 <= left < settings.releases.ttl_hours * 1800:
        with lease(client, keys) as held:
            keep_loaded(settings, held)


def list_releases(settings: Settings) -> list[dict[str, Any]]:
    """List stored releases, newest cutoff first: {release, as_of, generated_at, lists, state live|loaded|stored}."""
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


def promote(settings: Settings, release: str, force: bool = True, dry_run: bool = False, by: str = "") -> PublishRef:
    """Load a stored release into Redis if needed, then make it live.

    force: replace a live release with a newer cutoff. dry_run: only open and measure. by: who decided it, for the log
    of releases that became live. Returns as `publish_release`.
    """
    return _make_live(settings, release, "promoted by hand", force, dry_run, by)


def rollback(settings: Settings, dry_run: bool = False, by: str = "", to: str = "") -> PublishRef:
    """Make the last live build that is older than the live one live again. Raises ReleaseNotFound if there is none.

    to: the release to which it must lead, so that a second rollback to it changes nothing. Raises ReleaseNotFound if
    it leads to another one.
    """
    with redis_errors("reading the live release"):
        live = live_release(connect(settings), Keys(settings.namespace))
    if to and live and live.id == to:
        return PublishRef(False, to, "it is live already", to)
    loaded = loaded_before(settings)
    back = rollback_to(live, map(Artifacts(settings).release, loaded))
    if back is None:
        newer = f"{', '.join(loaded)}: newer than the live release, so not a way back; " if loaded else ""
        raise ReleaseNotFound(
            f"no earlier release to go back to; {newer}`python -m pipelines releases` lists what is stored, "
            "`promote` makes any of them live"
        )
    if to and back.id != to:
        raise ReleaseNotFound(
            f"a rollback leads to {back.id} now, not to {to}: another release went live meanwhile; "
            "`python -m pipelines releases` lists them"
        )
    return _make_live(settings, back.id, "rolled back", True, dry_run, by)


def _make_live(settings: Settings, release: str, reason: str, force: bool, dry_run: bool, by: str) -> PublishRef:
    loadable = Loadable.open(Artifacts(settings), release)
    with redis_errors("making a release live"):
        client, keys = checked(settings), Keys(settings.namespace)
        with lease(client, keys) as held:
            newer = newer_live(client, keys, loadable.manifest)
            if newer and not force:
                reason = f"{newer} with a newer cutoff is live and `force` was not given"
            elif dry_run:
                reason = f"a dry run: {release} would be {reason}" + (f", newer cutoff: {newer}" if newer else "")
            else:
                log.warning("release made live id=%s reason=%s by=%s newer=%s", release, reason, by, newer)
                return make_live(settings, held, loadable, reason, by)
            previous = decoded(client.get(keys.current))
            needs, used, limit = room_for(settings, client, loadable.manifest)
            return PublishRef(False, release, reason, previous, needs_mb=needs, used_mb=used, limit_mb=limit)


def loaded_before(settings: Settings) -> list[str]:
    """Return the earlier live builds that a rollback can use, the newest first."""
    with redis_errors("reading the release history"):
        return [decoded(v) for v in connect(settings).lrange(Keys(settings.namespace).history, 0, -1)]


def release_of(settings: Settings, release: str | None) -> Release:
    """Return the named release, or the live one. Raises ReleaseNotFound."""
    name = release or current_release(settings)
    if name is None:
        raise ReleaseNotFound(NOTHING_LIVE)
    return Artifacts(settings).release(name)
