"""Ranked lists: their bytes and keys in Redis, a release's manifest, and its files on disk."""

from models.lists.redis_format import (
    DRAIN_GROUP,
    LIST_FORMAT,
    OWN,
    POPULAR_FIELD,
    Keys,
    LiveList,
    StoredList,
    TrendingList,
    decode_list,
    encode_lists,
    since_meaning,
    since_value,
)
from models.lists.release import Release

__all__ = [
    "DRAIN_GROUP",
    "LIST_FORMAT",
    "OWN",
    "POPULAR_FIELD",
    "Keys",
    "LiveList",
    "Release",
    "StoredList",
    "TrendingList",
    "decode_list",
    "encode_lists",
    "since_meaning",
    "since_value",
]
