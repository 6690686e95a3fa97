"""Whether a release fits into Redis, asked before the first byte is written."""

from __future__ import annotations

import redis

from models.errors import ReleaseTooBig
from models.nouns.release import Release
from models.settings import Settings
from pipelines.release.cache import about

MB = 1 << 20
#: Bytes of a list in Redis besides its own: its field, its place in the hash, what the allocator rounds up. Measured
#: (docs/benchmarks.md): 43 to 78 on Valkey 9.1; a hash that is just growing holds its table twice.
LIST_BYTES = 80
#: Of a machine whose Redis has no limit of its own, this share may be used: forks, buffers and others need the rest.
MACHINE_SHARE = 0.8


def needed_bytes(manifest: Release, tables: int = 0) -> int:
    """What a release will take in Redis. tables: bytes of its item tables."""
    return manifest.list_bytes + LIST_BYTES * sum(manifest.lists.values()) + tables


def check_budget(settings: Settings, client: redis.Redis, release: str, needed: int) -> None:
    """Raises ReleaseTooBig, with the figures and what to do, where `needed` bytes do not fit beside what is there."""
    used, limit, whose = budget_of(settings, client)
    if limit and used + needed > limit:
        raise ReleaseTooBig(
            f"release {release} needs {needed / MB:.1f} MB in Redis, {max(limit - used, 0) / MB:.1f} MB are free "
            f"({used / MB:.1f} of {limit / MB:.1f} MB used, {whose}). Nothing was written and the live release stays. "
            "Give Redis more memory (maxmemory, MATCHBOOK_REDIS_BUDGET_MB), keep fewer builds "
            "([releases] keep_in_redis), or store shorter lists ([lists] depth)"
        )


def room_for(settings: Settings, client: redis.Redis, manifest: Release) -> dict[str, float]:
    """Megabytes that a release needs in Redis, beside those that are used and those that may be."""
    used, limit, _ = budget_of(settings, client)
    return {
        "needs_mb": round(needed_bytes(manifest) / MB, 3),
        "used_mb": round(used / MB, 3),
        "limit_mb": round(limit / MB, 3),
    }


def budget_of(settings: Settings, client: redis.Redis) -> tuple[int, int, str]:
    """Bytes that are used, bytes that may be (0 where nobody says), and who says so."""
    memory = about(client)
    used, limit = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    if settings.redis_budget_mb:
        return used, settings.redis_budget_mb * MB, "MATCHBOOK_REDIS_BUDGET_MB"
    if limit:
        return used, limit, "maxmemory"
    machine = int(memory.get("total_system_memory", 0))
    if not machine:
        return used, 0, "Redis does not say; MATCHBOOK_REDIS_BUDGET_MB can"
    return used, int(MACHINE_SHARE * machine), f"{MACHINE_SHARE:.0%} of the machine"
