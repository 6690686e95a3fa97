"""A release: its manifest, its keys in Redis, the bytes of its lists, its files on disk (`files`)."""

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
