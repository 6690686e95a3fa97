"""What Redis says of itself and when it refuses: what it means, and what to do. Text only, no connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: XAUTOCLAIM, SMISMEMBER and LPOS came with these.
LEAST_REDIS = (6, 2)
LEAST = "Redis 6.2 or Valkey 7.2"
CLUSTER = (
    "this is a Redis Cluster, expected one Redis server (replicas and Sentinel are fine): a release is switched "
    "by one script over keys that a cluster would spread; name a server without cluster mode in REDIS_URL"
)
_HINTS = {
    "OOM": "Redis is full: give it more memory (maxmemory), or keep fewer builds ([releases] keep_in_redis)",
    "READONLY": "this Redis is a replica or read-only: REDIS_URL must name the primary",
    "MISCONF": "this Redis cannot write to its disk and takes no writes until it can",
    "NOPERM": "the user of REDIS_URL lacks a right: docs/guides/deploy.md lists the commands that are needed",
    "permissions": "the user of REDIS_URL lacks a right: docs/guides/deploy.md lists the commands that are needed",
    "NOAUTH": "REDIS_URL must hold the user and the password",
    "WRONGPASS": "REDIS_URL holds another user or password than this Redis has",
    "MOVED": CLUSTER,
    "ASK": CLUSTER,
    "CROSSSLOT": CLUSTER,
    "CLUSTERDOWN": CLUSTER,
    "TRYAGAIN": CLUSTER,
    "LOADING": "it is still reading its data, and answers when it has",
    "unknown": f"expected {LEAST} or newer",
}
#: Said by a server that another one has taken over from, or that is not to be asked now.
ELSEWHERE = ("READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED")


def told(error: BaseException) -> str:
    """What Redis said, its code included, which the driver keeps apart."""
    said, code = str(error) or type(error).__name__, getattr(error, "status_code", None)
    return f"{code} {said}" if code and not said.startswith(str(code)) else said


def hint(said: str) -> str:
    """What to do about a refusal, empty where it says it itself."""
    words = said.replace(",", " ").replace("'", " ").split()
    return next((_HINTS[word] for word in words if word in _HINTS), "")


def with_hint(said: str) -> str:
    """A refusal and what to do about it."""
    return f"{said}; {found}" if (found := hint(said)) else said


def unfit(info: Mapping[str, Any]) -> str:
    """Why a server with this INFO cannot be used at all, empty where it can or where INFO does not say."""
    if int(info.get("cluster_enabled", 0) or 0):
        return CLUSTER
    spelt = str(info.get("redis_version", ""))
    version = tuple(int(n) for n in spelt.split(".")[:2] if n.isdigit())
    if len(version) == 2 and version < LEAST_REDIS:
        return f"expected {LEAST} or newer, got Redis {spelt}; upgrade it, or name another server in REDIS_URL"
    return ""


def evicting(info: Mapping[str, Any]) -> str:
    """Why a server with this INFO may throw lists away, empty where it may not or where INFO does not say."""
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction" or not int(info.get("maxmemory", 0) or 0):
        return ""
    return (
        f"maxmemory-policy is {policy}: when its memory is full this Redis throws lists away in silence; set it to "
        "noeviction"
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
#: Asked, and done without where they are refused.
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
#: What the reader writes; it reads all of the namespace.
_WRITES = ("rate:*", "live:*", "flight:*", "count:*", "since:*", "posted:*", "claimed:*", "events")


def reader_rights(namespace: str) -> str:
    """The rules of the reader's user, without its name and password. Rights by key need Redis 7 or Valkey."""
    keys = " ".join([f"%R~{namespace}:*", *(f"~{namespace}:{name}" for name in _WRITES)])
    return f"resetkeys resetchannels -@all {keys} {_allowed(_READER)}"


def pipeline_rights(namespace: str) -> str:
    """The rules of the user of builds, the drain and erasures, without its name and password."""
    return f"resetkeys resetchannels -@all ~{namespace}:* {_allowed(_PIPELINE)}"


def _allowed(commands: str) -> str:
    return " ".join(f"+{command}" for command in commands.split())
