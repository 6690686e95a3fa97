"""What each user of Redis must be allowed: the commands and the keys, as rules of an ACL.

Nothing else is needed. INFO, MEMORY USAGE and the like are asked for figures and for warnings; a server that refuses
them is used all the same.
"""

from __future__ import annotations

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
