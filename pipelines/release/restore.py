"""What was live and Redis has lost is loaded again from the stored files, through the publisher's lease."""

from __future__ import annotations

import logging

import redis

from models.errors import MatchbookError, ReleaseError
from models.nouns.release import Keys
from models.nouns.release.files import last_published
from models.schema import Entity, Surface
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.release.cache import decoded, live_release
from pipelines.release.lease import lease
from pipelines.release.load import Loadable
from pipelines.release.publish import keep_loaded, make_live
from pipelines.runs.run import parse_instant

log = logging.getLogger(__name__)


def restore_live(settings: Settings, client: redis.Redis, keys: Keys) -> str | None:
    """See to it that Redis holds what was published last, and keeps it; returns the release that was loaded again, None
    where nothing was missing or nothing could be done. That is logged, and filters are followed all the same. The
    caller wraps the errors of Redis that are no refusals."""
    try:
        if not _lost(settings, client, keys):
            _prolong(settings, client, keys)
            return None
        with lease(client, keys) as held:
            name = _lost(settings, client, keys)  # another may have published meanwhile
            if name:
                log.warning("Redis has lost %s, which is loaded again", name)
                make_live(settings, held, Loadable.open(Artifacts(settings), name), "Redis had lost it")
            return name or None
    except (MatchbookError, OSError, redis.ResponseError) as error:
        log.error("what was live cannot be loaded again: %s", error)
        return None


def _lost(settings: Settings, client: redis.Redis, keys: Keys) -> str:
    """The release that should be in Redis and is not as a whole, empty where nothing is missing.

    That is the last one of the log of publishes. The pointer may name another: one that is newer was published by
    somebody who died before writing it down, or from another store; an older one comes with old data of Redis.
    """
    last, live = last_published(settings.artifacts) or "", decoded(client.get(keys.current))
    if not live:
        return last
    if not _is_whole(client, keys, live):
        return live if (settings.artifacts / "releases" / live).is_dir() else last
    return last if last and last != live and _is_older(settings, live, last) else ""


def _is_older(settings: Settings, release: str, other: str) -> bool:
    """Whether a release was built before another; one that is not stored here says nothing."""
    try:
        builds = [parse_instant(Artifacts(settings).release(name).built) for name in (release, other)]
    except ReleaseError:
        return False
    return builds[0] < builds[1]


def _is_whole(client: redis.Redis, keys: Keys, release: str) -> bool:
    """Whether all keys of the live release are there and hold as many lists as they should. What cannot be read is
    not there."""
    try:
        manifest = live_release(client, keys)
    except (ReleaseError, redis.ResponseError) as error:
        log.warning("the manifest of release %s in Redis cannot be read: %s", release, error)
        return False
    pipe = client.pipeline(transaction=False)
    for entity in Entity:
        pipe.exists(keys.items(release, entity))
    for surface in Surface:
        pipe.hlen(keys.lists(release, surface))
    found: list[object] = pipe.execute(raise_on_error=False)
    if manifest is None:
        return False
    return found == [1 for _ in Entity] + [manifest.lists.get(s.value, -1) + 1 for s in Surface]


def _prolong(settings: Settings, client: redis.Redis, keys: Keys) -> None:
    """Lists that are live do not expire as long as somebody looks after them."""
    left = int(client.ttl(keys.manifest(decoded(client.get(keys.current)))))
    if 0 <= left < settings.releases.ttl_hours * 1800:
        with lease(client, keys) as held:
            keep_loaded(settings, held)
