"""Load a stored release into Redis under its own keys: write by shards, read back, compare."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import redis

from models.catalogue.catalogue import CATALOGUE, encode_items, entities_of
from models.data.entities import Entities
from models.errors import ReleaseIncomplete, ReleaseTooBig
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import POPULAR_FIELD, encode_lists
from models.lists.release import Release, ReleaseDigest, popular_list, release_lists
from models.schema import Entity, ListKind, Surface
from models.settings.settings import Settings
from pipelines.publish.lease import Lease
from pipelines.redis_client import about, decoded, nicety
from pipelines.store.artifacts import Artifacts

MB = 1 << 20
#: Bytes of a list in Redis besides its data: field, hash slot, allocator rounding. Measured
#: (docs/reference/benchmarks.md): 43 to 78 on Valkey 9.1. A growing hash briefly has two tables.
LIST_BYTES = 80
#: Usable share of a machine's memory if Redis has no limit. Forks, buffers and other processes need the rest.
MACHINE_SHARE = 0.8


def needed_bytes(manifest: Release, tables: int = 0) -> int:
    """Return the bytes that a release needs in Redis. tables: bytes of its item tables."""
    return manifest.list_bytes + LIST_BYTES * sum(manifest.lists.values()) + tables


def check_budget(settings: Settings, client: redis.Redis, release: str, needed: int) -> None:
    """Raise ReleaseTooBig, with figures and advice, if `needed` bytes do not fit into the free memory."""
    used, limit, whose = budget_of(settings, client)
    if limit and used + needed > limit:
        raise ReleaseTooBig(
            f"release {release} needs {needed / MB:.1f} MB in Redis, {max(limit - used, 0) / MB:.1f} MB are free "
            f"({used / MB:.1f} of {limit / MB:.1f} MB used, {whose}). Nothing was written and the live release stays. "
            "Give Redis more memory (maxmemory, MATCHBOOK_REDIS_BUDGET_MB), keep fewer builds "
            "([releases] keep_in_redis), or store shorter lists ([lists] depth, [similar] depth)"
        )


def room_for(settings: Settings, client: redis.Redis, manifest: Release) -> tuple[float, float, float]:
    """Return megabytes in Redis: needed by a release, used, allowed."""
    used, limit, _ = budget_of(settings, client)
    return round(needed_bytes(manifest) / MB, 3), round(used / MB, 3), round(limit / MB, 3)


def budget_of(settings: Settings, client: redis.Redis) -> tuple[int, int, str]:
    """Return used bytes, allowed bytes (0 if unknown), and the source of the limit."""
    memory = about(client)
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    if settings.redis_budget_mb:
        return used, settings.redis_budget_mb * MB, "MATCHBOOK_REDIS_BUDGET_MB"
    if limit:
        return used, limit, "maxmemory"
    machine = int(memory.get("total_system_memory", 0))
    if not machine:
        return used, 0, "Redis reports no limit; set MATCHBOOK_REDIS_BUDGET_MB"
    return used, int(MACHINE_SHARE * machine), f"{MACHINE_SHARE:.0%} of the machine"


log = logging.getLogger(__name__)
_BATCH = 500  # lists per command: half a megabyte, a millisecond of server time


@dataclass(frozen=True, eq=False)
class Loadable:
    """A stored release and the content of its keys in Redis."""

    manifest: Release
    directory: Path
    entities: Mapping[Entity, Entities]

    @classmethod
    def open(cls, artifacts: Artifacts, release: str) -> Loadable:
        """Open a stored release. Raises ReleaseNotFound, ReleaseIncomplete if it lacks surfaces, BundleError."""
        manifest = artifacts.release(release)
        missing = sorted({s.value for s in Surface} - set(manifest.lists))
        if missing:
            raise ReleaseIncomplete(
                f"release {release} was built without {', '.join(missing)} and can only be inspected; "
                "build all surfaces to publish"
            )
        catalogue = artifacts.open_bundle(CATALOGUE, manifest.bundles[CATALOGUE])
        return cls(manifest, artifacts.directory(release), entities_of(catalogue))

    @cached_property
    def tables(self) -> dict[Entity, bytes]:
        return {e: encode_items(self.entities[e]) for e in Entity}

    def popular(self, kind: ListKind) -> bytes:
        return encode_lists(popular_list(self.directory, self.manifest, kind))[0]

    def shards(self, kind: ListKind) -> Iterator[tuple[list[bytes], RankedLists]]:
        """Yield hash fields and lists shard by shard, owners ascending."""
        packed = self.entities[kind.owner].ids.packed()
        for part in release_lists(self.directory, self.manifest, kind):
            yield [row.tobytes() for row in packed[part.owner]], part


def load(settings: Settings, lease: Lease, release: Loadable) -> dict[str, Any]:
    """Make sure that Redis holds the whole release; return {lists, bytes_per_list, redis_bytes_per_list}.

    A release is recorded before its first byte, so leftovers of a killed publisher are found. A complete one is not
    written again. Raises ReleaseTooBig before any write, ReleaseIncomplete if Redis returns other bytes.
    """
    name, keys, loaded = release.manifest.id, lease.keys, is_loaded(lease, release.manifest.id)
    if not loaded:
        tables = sum(map(len, release.tables.values()))
        check_budget(settings, lease.client, name, needed_bytes(release.manifest, tables))
        lease.write("SADD", [keys.loading], name)
        lease.write("UNLINK", keys.of_release(name))
    if not loaded or verify_loaded(lease, release):
        _write(settings, lease, release)
        found = verify_loaded(lease, release)
        if found:
            raise ReleaseIncomplete(f"release {name} was not made live: {found}; publish it again")
    for key in keys.of_release(name):
        lease.write("EXPIRE", [key], _ttl_s(settings))
    count = sum(release.manifest.lists.values())
    hashes = [keys.lists(name, kind) for kind in release.manifest.kinds]
    return {
        "lists": count,
        "bytes_per_list": round(release.manifest.list_bytes / max(count, 1), 1),
        "redis_bytes_per_list": round(_taken(lease, hashes) / max(count, 1), 1),
    }


def _taken(lease: Lease, hashes: Sequence[str]) -> int:
    """Return the bytes that these keys use in Redis; 0 if Redis does not say."""
    return nicety(lambda: sum(int(lease.client.memory_usage(h, 100) or 0) for h in hashes), 0)


def is_loaded(lease: Lease, release: str) -> bool:
    """Return whether a release is or was live in Redis, so that readers may use it."""
    history = [decoded(v) for v in lease.client.lrange(lease.keys.history, 0, -1)]
    return release in (decoded(lease.client.get(lease.keys.current)), *history)


def verify_loaded(lease: Lease, release: Loadable) -> str:
    """Return how Redis differs from the stored release, empty if it does not.

    The switch checks counts. This compares all bytes, which costs as much as writing (docs/reference/benchmarks.md).
    """
    client, keys, name = lease.client, lease.keys, release.manifest.id
    digest = ReleaseDigest(release.manifest.digest_format)
    for entity, table in release.tables.items():
        if client.get(keys.items(name, entity)) != table:
            return f"the table of {entity}s differs from what was written"
    for kind in release.manifest.kinds:
        key, popular = keys.lists(name, kind), release.popular(kind)
        digest.begin(kind, popular)
        if client.hget(key, POPULAR_FIELD) != popular:
            return f"the popular list of {kind} differs from what was written"
        for fields, _ in release.shards(kind):
            for start in range(0, len(fields), _BATCH):
                values: list[Any] = client.hmget(key, fields[start : start + _BATCH])
                if None in values:
                    return f"{values.count(None)} lists of {kind} are missing, expected one for each owner"
                digest.add(values)
    whole, expected = digest.hexdigest(release.manifest), release.manifest.digest
    return "" if whole == expected else f"expected lists of digest {expected}, got {whole}"


def _write(settings: Settings, lease: Lease, release: Loadable) -> None:
    """Write every list, the item tables and last the manifest under the release's own keys, with an expiry."""
    keys, name, ttl_s = lease.keys, release.manifest.id, _ttl_s(settings)
    for kind in release.manifest.kinds:
        key = keys.lists(name, kind)
        lease.write("HSET", [key], POPULAR_FIELD, release.popular(kind))
        lease.write("EXPIRE", [key], ttl_s)
        for fields, lists in release.shards(kind):
            pairs = list(zip(fields, encode_lists(lists), strict=True))
            pipe = lease.client.pipeline(transaction=False)
            for start in range(0, len(pairs), _BATCH):
                lease.write("HSET", [key], *chain(*pairs[start : start + _BATCH]), pipe=pipe)
            pipe.execute()
    for entity, table in release.tables.items():
        lease.write("SET", [keys.items(name, entity)], table, "EX", ttl_s)
    lease.write("SET", [keys.manifest(name)], release.manifest.to_json(), "EX", ttl_s)


def _ttl_s(settings: Settings) -> int:
    return int(settings.releases.ttl_hours * 3600)
