"""Explains errors and INFO of Redis. Texts only, no connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: XAUTOCLAIM, SMISMEMBER and LPOS need this version.
LEAST_REDIS = (6, 2)
LEAST = "Redis 6.2 or Valkey 7.2"
CLUSTER = (
    "expected one Redis server (replicas and Sentinel are fine), got a Redis Cluster: a release is switched "
    "by one script over keys that a cluster would distribute; set REDIS_URL to a server without cluster mode"
)
_HINTS = {
    "OOM": "Redis is full: raise its memory limit (maxmemory), or keep fewer builds ([releases] keep_in_redis)",
    "READONLY": "this Redis is a replica or read-only: REDIS_URL must name the primary",
    "MISCONF": "this Redis cannot write to its disk and refuses writes until it can",
    "NOPERM": "the user of REDIS_URL lacks a right: docs/guides/deploy.md lists the commands that are needed",
    "permissions": "the user of REDIS_URL lacks a right: docs/guides/deploy.md lists the commands that are needed",
    "NOAUTH": "REDIS_URL must contain the user and the password",
    "WRONGPASS": "the user or password in REDIS_URL is wrong",
    "MOVED": CLUSTER,
    "ASK": CLUSTER,
    "CROSSSLOT": CLUSTER,
    "CLUSTERDOWN": CLUSTER,
    "TRYAGAIN": CLUSTER,
    "LOADING": "it is still loading its data; try again later",
    "unknown": f"expected {LEAST} or newer",
}
#: Error codes of a server that is no longer primary, or that cannot answer at the moment.
ELSEWHERE = ("READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED")


def message_of(error: BaseException) -> str:
    """Return a Redis error's text with its code, which the driver keeps separately."""
    said, code = str(error) or type(error).__name__, getattr(error, "status_code", None)
    return f"{code} {said}" if code and not said.startswith(str(code)) else said


def hint(said: str) -> str:
    """Return what to do about a Redis error; empty if unknown."""
    words = said.replace(",", " ").replace("'", " ").split()
    return next((_HINTS[word] for word in words if word in _HINTS), "")


def with_hint(said: str) -> str:
    """Return a Redis error followed by what to do."""
    return f"{said}; {found}" if (found := hint(said)) else said


def unfit(info: Mapping[str, Any]) -> str:
    """Return why a server with this INFO cannot be used; empty if it can, or INFO lacks the facts."""
    if int(info.get("cluster_enabled", 0) or 0):
        return CLUSTER
    found = str(info.get("redis_version", ""))
    version = tuple(int(n) for n in found.split(".")[:2] if n.isdigit())
    if len(version) == 2 and version < LEAST_REDIS:
        return f"expected {LEAST} or newer, got Redis {found}; upgrade it, or name another server in REDIS_URL"
    return ""


def evicting(info: Mapping[str, Any]) -> str:
    """Return why a server with this INFO may evict lists; empty if it cannot, or INFO lacks the facts."""
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction" or not int(info.get("maxmemory", 0) or 0):
        return ""
    return (
        f"maxmemory-policy is {policy}: when its memory is full this Redis evicts lists without an error; "
        "set it to noeviction"
    )


_READER = """
    ping select multi exec time eval evalsha get mget set del exists incr incrby expire lrange smembers
    hget hmget hgetall hscan hset hdel hlen xlen xrange xadd
"""
_PIPELINE = """
    ping select multi exec time eval evalsha script|load script|exists get mget set del unlink exists expire ttl
    incr type rename incrby scan lrange lpush lrem lpos lset sadd srem sismember smembers smismember sscan hget
    hmget hgetall hset hsetnx hdel hexists hlen hincrby hscan zscan xlen xrange xdel xgroup|create xreadgroup
    xautoclaim xack
"""
#: Optional commands: a refusal is tolerated.
NICETIES = (
    "info",
    "memory|usage",
    "xinfo|consumers",
    "xinfo|stream",
    "xinfo|groups",
    "xgroup|delconsumer",
    "xgroup|setid",
    "client|setinfo",
)
#: Keys that the reader writes. It reads the whole namespace.
_WRITES = ("rate:*", "live:*", "flight:*", "count:*", "since:*", "posted:*", "claimed:*", "events")


def reader_rights(namespace: str) -> str:
    """Return ACL rules of the reader's user, without name and password.

    Rights by key need Redis 7 or Valkey.
    """
    keys = " ".join([f"%R~{namespace}:*", *(f"~{namespace}:{name}" for name in _WRITES)])
    return f"resetkeys resetchannels -@all {keys} {_allowed(_READER)}"


def pipeline_rights(namespace: str) -> str:
    """Return ACL rules of the user for builds, the drain and erasures, without name and password."""
    return f"resetkeys resetchannels -@all ~{namespace}:* {_allowed(_PIPELINE)}"


def _allowed(commands: str) -> str:
    return " ".join(f"+{command}" for command in commands.split())
