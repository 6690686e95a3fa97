"""A release: its manifest, its keys in Redis, the bytes of its lists, its files on disk (`files`)."""

from models.nouns.release.keys import DRAIN_GROUP, OWN, POPULAR_FIELD, Keys, since_meaning, since_value
from models.nouns.release.lists import LIST_FORMAT, LiveList, StoredList, TrendingList, decode_list, encode_lists
from models.nouns.release.manifest import Release

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
