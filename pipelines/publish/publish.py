"""Load a stored release into Redis under its own keys and make it live by one atomic switch."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

import redis

from models.errors import DataError, ReleaseIncomplete, ServiceError
from models.keys import ANSWER_KEY, PSEUDONYM_KEY, kept_key
from models.lists.redis_format import Keys
from models.lists.redis_server import evicting
from models.lists.release import PUBLISHES, Release
from models.settings.settings import Settings
from pipelines.publish.filter_keys import fill_since
from pipelines.publish.lease import Lease, lease
from pipelines.publish.load import Loadable, load
from pipelines.publish.trending import store_trending
from pipelines.redis_client import about, checked, decoded, live_release, redis_errors
from pipelines.refs import PublishRef
from pipelines.run.run import parse_instant
from pipelines.store.artifacts import Artifacts, append_private

log = logging.getLogger(__name__)


def publish_release(settings: Settings, release: str, force: bool = False) -> PublishRef:
    """Make a stored release live, unless a release with a newer cutoff is live.

    force: also replace a newer cutoff; logged. Raises ReleaseNotFound, ServiceError, ReleaseIncomplete (counts or
    checksums differ; the pointer stays), ReleaseTooBig (no room in Redis; nothing is written).
    """
    loadable = Loadable.open(Artifacts(settings), release)
    with redis_errors("publishing a release"):
        client, keys = checked(settings), Keys(settings.namespace)
        with lease(client, keys) as held:
            newer = newer_live(client, keys, loadable.manifest)
            if not force and _refreshed(client, keys, release):
                reason, live = "a refresh of this build is live and has newer events", decoded(client.get(keys.current))
                return PublishRef(False, release, reason, live)
            if newer and not force:
                reason = (
                    f"{newer} with a newer cutoff is live; this release is stored, "
                    f"`python -m pipelines promote {release}` makes it live"
                )
                log.info("release not published id=%s reason=%s", release, reason)
                return PublishRef(False, release, reason, newer)
            if newer:
                log.warning("release forced over a newer cutoff id=%s live=%s", release, newer)
            return make_live(settings, held, loadable, "forced" if newer else "newest cutoff")


def make_live(settings: Settings, held: Lease, loadable: Loadable, reason: str, by: str = "") -> PublishRef:
    """Load, verify and switch while holding the lease; then remove releases that are no longer kept.

    reason, by: what the log of releases that became live tells.
    """
    for secret, name in ((settings.answer_key, ANSWER_KEY), (settings.pseudonym_key, PSEUDONYM_KEY)):
        if not secret:
            kept_key(settings.home, name)  # here, because a reader may not have the right to write
    name, previous = loadable.manifest.id, decoded(held.client.get(held.keys.current))
    drop_unfinished(held, keep=name)
    loaded = load(settings, held, loadable)
    _fill_since(settings, held, loadable.manifest)
    switch(held, loadable.manifest)
    warning = evicting(about(held.client)) or ""
    if warning:
        log.warning("%s", warning)
    done = PublishRef(True, name, reason, previous, **loaded, by=by, warning=warning)
    note_publish(settings, done)
    store_trending(settings, held, loadable.manifest, loadable.entities)
    log.info("release published %s retired=%s", done.as_json(), retire_loaded(settings, held))
    return done


def _fill_since(settings: Settings, held: Lease, manifest: Release) -> None:
    """Store events after an older cutoff, so that answers filter them from the start.

    Without PostgreSQL the release still goes live, and the next drain stores them.
    """
    try:
        fill_since(settings, held.client, held.keys, manifest)
    except (ServiceError, DataError) as error:
        log.warning("answers do not filter events since %s until the next drain: %s", manifest.built, error)


def newer_live(client: redis.Redis, keys: Keys, manifest: Release) -> str | None:
    """Return the id of the live release if its build has a newer cutoff than this one's.

    Ignores a cutoff in the future, which comes from a row with an impossible time.
    """
    live = live_release(client, keys)
    if live is None or parse_instant(live.built) > datetime.now(UTC):  # noqa: TID251 compared with the present
        return None
    return live.id if parse_instant(live.built) > parse_instant(manifest.built) else None


def _refreshed(client: redis.Redis, keys: Keys, release: str) -> bool:
    live = live_release(client, keys)
    return live is not None and live.id != release and live.build == release


def switch(held: Lease, manifest: Release, replaces: str = "") -> None:
    """Move the pointer if the release is complete and no newer publisher was admitted.

    replaces: a loaded release, live or not, whose position it takes. Readers may use that one for some seconds, so its
    keys stay until `drop_unfinished`. Raises ReleaseIncomplete with the reason.
    """
    keys = held.keys
    hashes = [keys.lists(manifest.id, kind) for kind in manifest.kinds]
    expected = [manifest.lists[kind.value] + 1 for kind in manifest.kinds]  # and the popular list
    names = [keys.current, keys.history, keys.loading, keys.manifest(manifest.id), *hashes]
    answer = decoded(held.script("switch", names, manifest.id, replaces, *expected))
    if answer != "ok":
        raise ReleaseIncomplete(f"release {manifest.id} was not made live: {answer}; publish it again")


def drop_unfinished(held: Lease, keep: str = "") -> list[str]:
    """Remove keys of replaced releases, and of releases that a killed publisher left half-loaded."""
    names = sorted(decoded(v) for v in held.client.smembers(held.keys.loading))
    left = [name for name in names if name != keep]
    for name in left:
        retire(held, name)
    return left


def retire_loaded(settings: Settings, held: Lease) -> list[str]:
    """Remove all but the live build and the kept earlier ones from Redis, in the background (M05)."""
    before = [decoded(v) for v in held.client.lrange(held.keys.history, 0, -1)]
    old = before[settings.releases.keep_in_redis - 1 :]
    for name in old:
        retire(held, name)
    return old


def retire(held: Lease, release: str) -> None:
    keys = held.keys
    held.script("retire", [keys.current, keys.history, keys.loading, *keys.of_release(release)], release)


def keep_loaded(settings: Settings, held: Lease) -> int:
    """Restart the expiry time of the loaded releases; return their number."""
    before = held.client.lrange(held.keys.history, 0, -1)
    names = [name for name in map(decoded, (held.client.get(held.keys.current), *before)) if name]
    for key in (key for name in names for key in held.keys.of_release(name)):
        held.write("EXPIRE", [key], int(settings.releases.ttl_hours * 3600))
    return len(names)


def note_publish(settings: Settings, done: PublishRef) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 when it happened; no list depends on it
    append_private(settings.artifacts / PUBLISHES, json.dumps({"at": at, **done.as_json()}))
