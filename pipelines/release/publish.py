"""Load a stored release into Redis under keys of its own and make it live by one atomic switch."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from models.errors import ReleaseIncomplete, ServiceError
from models.nouns.catalogue import CATALOGUE, encode_items, entities_of
from models.nouns.release import POPULAR_FIELD, Keys, Release, encode_lists
from models.nouns.vocabulary import Entity, Surface
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.release.assemble import popular_list, release_lists
from pipelines.release.cache import connect, text, wrapped
from pipelines.release.trending import store_trending
from pipelines.run import parse_instant

log = logging.getLogger(__name__)
LEASE_S = 900
_BATCH = 500
_SWITCH = (Path(__file__).parent / "switch.lua").read_text()
_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def publish_release(settings: Settings, release: str, force: bool = False) -> dict[str, Any]:
    """Make a stored release live, unless a newer cutoff is (then it stays stored and can be promoted).

    force: also over a newer cutoff; logged. Returns {published, release, previous, reason, lists, bytes_per_list}.
    Raises ReleaseNotFound, ReleaseIncomplete (counts differ; the pointer is not moved) or ServiceError.
    """
    manifest = Artifacts(settings).release(release)
    missing = sorted({s.value for s in Surface} - set(manifest.lists))
    if missing:
        raise ReleaseIncomplete(
            f"release {release} was built without {', '.join(missing)} and can only be inspected; "
            "build all surfaces to publish"
        )
    with wrapped("publishing a release"):
        client, keys = connect(settings), Keys(settings.namespace)
        with lease(client, keys) as token:
            newer = newer_live(client, keys, manifest)
            if newer and not force:
                reason = (
                    f"{newer} with a newer cutoff is live; this release is stored, "
                    f"`python -m pipelines promote {release}` makes it live"
                )
                log.info("release not published id=%s reason=%s", release, reason)
                return {"published": False, "release": release, "previous": newer, "reason": reason}
            if newer:
                log.warning("release forced over a newer cutoff id=%s live=%s", release, newer)
            return make_live(settings, client, keys, manifest, token, "forced" if newer else "newest cutoff")


def make_live(
    settings: Settings, client: redis.Redis, keys: Keys, manifest: Release, token: str, reason: str
) -> dict[str, Any]:
    """Load, verify and switch, the lease being held; then drop what is no longer kept."""
    previous = text(client.get(keys.current))
    loaded = load(settings, client, keys, manifest)
    switch(client, keys, manifest, token)
    store_trending(settings, client, keys, manifest)
    retired = retire_loaded(settings, client, keys)
    log.info(
        "release published id=%s previous=%s retired=%s bytes_per_list=%s",
        manifest.id,
        previous,
        retired,
        loaded["bytes_per_list"],
    )
    return {"published": True, "release": manifest.id, "previous": previous, "reason": reason, **loaded}


def newer_live(client: redis.Redis, keys: Keys, manifest: Release) -> str | None:
    """The id of the live release when its cutoff is newer than this one's."""
    current = text(client.get(keys.current))
    stored = client.get(keys.manifest(current)) if current else None
    if not stored:
        return None
    live = Release.from_json(stored)
    return live.id if parse_instant(live.as_of) > parse_instant(manifest.as_of) else None


@contextmanager
def lease(client: redis.Redis, keys: Keys) -> Iterator[str]:
    """Be the one publisher; yields the token that `switch` checks. Raises ServiceError while another holds it."""
    token = uuid.uuid4().hex
    if not client.set(keys.publisher, token, nx=True, ex=LEASE_S):
        raise ServiceError(
            f"another publish is under way (its lease ends within {client.ttl(keys.publisher)} s); try this one again"
        )
    try:
        yield token
    finally:
        client.eval(_UNLOCK, 1, keys.publisher, token)


def load(settings: Settings, client: redis.Redis, keys: Keys, manifest: Release) -> dict[str, Any]:
    """Write every list, the item tables and, last, the manifest, under the release's own keys; again is harmless."""
    artifacts = Artifacts(settings)
    directory = artifacts.root / "releases" / manifest.id
    entities = entities_of(artifacts.open_bundle(CATALOGUE, manifest.bundles[CATALOGUE]))
    size = count = 0
    for surface in Surface:
        packed = entities[surface.owner].ids.packed()
        key = keys.lists(manifest.id, surface)
        client.hset(key, POPULAR_FIELD, encode_lists(popular_list(directory, surface))[0])
        for lists in release_lists(directory, manifest, surface):
            values = encode_lists(lists)
            fields = [row.tobytes() for row in packed[lists.owner]]
            _write_fields(client, key, fields, values)
            size, count = size + sum(map(len, values)), count + len(values)
    for entity in Entity:
        client.set(keys.items(manifest.id, entity), encode_items(entities[entity]))
    client.set(keys.manifest(manifest.id), manifest.to_json())
    for key in keys.of_release(manifest.id):
        client.expire(key, int(settings.release_ttl_hours * 3600))
    return {"lists": count, "bytes_per_list": round(size / max(count, 1), 1)}


def switch(client: redis.Redis, keys: Keys, manifest: Release, token: str) -> None:
    """Move the pointer if all is there and the lease still ours. Raises ReleaseIncomplete with the reason."""
    hashes = [keys.lists(manifest.id, s) for s in Surface]
    expected = [manifest.lists[s.value] + 1 for s in Surface]  # and the popular list
    names = [keys.current, keys.history, keys.publisher, keys.manifest(manifest.id), *hashes]
    answer = text(client.eval(_SWITCH, len(names), *names, manifest.id, token, *expected))
    if answer != "ok":
        raise ReleaseIncomplete(f"release {manifest.id} was not made live: {answer}; publish it again")


def retire_loaded(settings: Settings, client: redis.Redis, keys: Keys) -> list[str]:
    """Remove from Redis, in the background, all but the live build and those that were live before it (M05)."""
    before = [text(v) for v in client.lrange(keys.history, 0, -1)]
    old = before[settings.keep_releases - 1 :]
    for release in old:
        client.lrem(keys.history, 0, release)
        client.unlink(*keys.of_release(release))
    return old


def _write_fields(client: redis.Redis, key: str, fields: list[bytes], values: list[bytes]) -> None:
    pipe = client.pipeline(transaction=False)
    for start in range(0, len(fields), _BATCH):
        pairs = [
            x for pair in zip(fields[start : start + _BATCH], values[start : start + _BATCH], strict=True) for x in pair
        ]
        pipe.hset(key, items=pairs)
    pipe.execute()
