"""The cache contract: the keys of a release in Redis and the bytes of one list. `pipelines` writes, `serving` reads.

    <ns>:current                        id of the live release; the one pointer, moved by one SET
    <ns>:history                        list of the ids that were live before, newest first
    <ns>:publisher, <ns>:fence          the lease of the one publisher at a time, and the newest token handed out
    <ns>:loading                        set of the ids whose keys may be there though they are neither live nor history
    <ns>:release:<id>:manifest          JSON, see Release
    <ns>:release:<id>:<surface>         hash: owner's 16 id bytes -> encoded list; field * holds the popular list
    <ns>:release:<id>:items:<entity>    npz: ids and facets behind the item numbers of the lists
    <ns>:trending:<surface>             encoded ids and scores, refreshed between builds, see TrendingList
    <ns>:live:<id>:<surface>:<owner>    a list computed live, short lived, see LiveList
    <ns>:flight:<id>:<surface>:<owner>  who is computing that list now, or that it failed a moment ago; very short lived
    <ns>:count:<entity>:<id>            an interaction count in decimal, short lived (H03)
    <ns>:since:<entity>:<id>            hash: 16 id bytes of whom or what this owner met since the build, or owns -> see
                                        `since_value`; both sides of an event are written, lives as long as lists do
    <ns>:hidden:<entity>                set of 16 id bytes: withdrawn startups, people who opted out
    <ns>:hidden:version                 grows when one of those sets has changed
    <ns>:events                         stream of posted events, read by the consumer group `drain`, see Event.entry
    <ns>:drain                          hash: what the drain has done and read so far, for the next one and for metrics
    <ns>:rate:<caller>:<minute>         how often a caller has asked within a minute

One list (format 1, little endian): header (12 bytes), then n items uint32, n scores uint16 (score * 65535),
n source bits uint8, n reason bits uint8: 8 bytes a place.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from models.errors import ReleaseIncomplete
from models.nouns.id_map import pack_ids, unpack_ids
from models.nouns.ranked_lists import RankedLists
from models.nouns.vocabulary import Entity, Method, Surface

LIST_FORMAT = 1
POPULAR_FIELD = b"*"
DRAIN_GROUP = "drain"
OWN = 255  # in place of the code of a kind: not met, but the owner's own
_SINCE = struct.Struct("<Bq")  # EventKind.code or OWN, microseconds since 1970 UTC
_HEADER = struct.Struct("<BBBBIHH")  # format, method, route, reranked, interaction count, places, part
_PLACE_BYTES = 8
_LIVE = struct.Struct("<BBq")  # format, known, made at (microseconds); the list follows, unless there is none
_TRENDING = struct.Struct("<BHq")  # format, places, made at (microseconds); n x 16 id bytes and n scores uint16 follow


@dataclass(frozen=True)
class Release:
    """The complete set of lists of one cutoff, visible all at once or not at all.

    id: "<cutoff slug>-<first 8 of digest>". as_of, generated_at: ISO 8601 UTC. digest: sha256 over all encoded
    lists, surface by surface, owners ascending; it does not depend on shards or on when it was made.
    bundles: name -> version. lists: surface -> number of owners. parts: the builds its lists came from (a refresh
    adds one); the header of a list names its part. files: path -> sha256 of every file with lists. list_bytes: of all
    encoded lists. erased: marks of the people taken out since it was built, each the name of a receipt; they count in
    the digest. replaces: the release whose place it takes, if any.
    """

    id: str
    as_of: str
    generated_at: str
    digest: str
    snapshot: str
    bundles: Mapping[str, str]
    lists: Mapping[str, int]
    shards: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    shares: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Mapping[str, str]] = field(default_factory=list)
    code_version: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    list_bytes: int = 0
    erased: Sequence[str] = field(default_factory=list)
    replaces: str = ""

    def to_json(self) -> str:
        """With a checksum of the rest under "sha256"."""
        fields = asdict(self)
        return json.dumps({**fields, "sha256": _sha256(fields)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Release:
        """Raises ReleaseIncomplete where a field is missing or anything differs from what was written."""
        try:
            fields = json.loads(text)
            written = fields.pop("sha256")
            release = cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReleaseIncomplete(
                f"not a release manifest ({type(error).__name__}: {error}); build this cutoff again, or promote another"
            ) from error
        if written != _sha256(fields):
            raise ReleaseIncomplete(
                f"the manifest of release {release.id} was changed since it was written; build this cutoff again, "
                "or promote another release"
            )
        return release


def _sha256(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Keys:
    """Every key, in one namespace."""

    namespace: str = "matchbook"

    @property
    def current(self) -> str:
        return f"{self.namespace}:current"

    @property
    def history(self) -> str:
        return f"{self.namespace}:history"

    @property
    def publisher(self) -> str:
        """The lease of the one publisher at a time: its token."""
        return f"{self.namespace}:publisher"

    @property
    def fence(self) -> str:
        """The newest token handed out to a publisher; whoever has an older one can write nothing."""
        return f"{self.namespace}:fence"

    @property
    def loading(self) -> str:
        return f"{self.namespace}:loading"

    def manifest(self, release: str) -> str:
        return f"{self.namespace}:release:{release}:manifest"

    def lists(self, release: str, surface: Surface) -> str:
        return f"{self.namespace}:release:{release}:{surface}"

    def items(self, release: str, entity: Entity) -> str:
        return f"{self.namespace}:release:{release}:items:{entity}"

    def trending(self, surface: Surface) -> str:
        return f"{self.namespace}:trending:{surface}"

    def live(self, release: str, surface: Surface, owner: str) -> str:
        return f"{self.namespace}:live:{release}:{surface}:{owner}"

    def flight(self, release: str, surface: Surface, owner: str) -> str:
        return f"{self.namespace}:flight:{release}:{surface}:{owner}"

    def count(self, entity: Entity, owner: str) -> str:
        return f"{self.namespace}:count:{entity}:{owner}"

    def since(self, entity: Entity, owner: str) -> str:
        return f"{self.namespace}:since:{entity}:{owner}"

    def hidden(self, entity: Entity) -> str:
        return f"{self.namespace}:hidden:{entity}"

    @property
    def hidden_version(self) -> str:
        return f"{self.namespace}:hidden:version"

    @property
    def events(self) -> str:
        return f"{self.namespace}:events"

    @property
    def drain(self) -> str:
        return f"{self.namespace}:drain"

    def rate(self, caller: str, minute: int) -> str:
        return f"{self.namespace}:rate:{caller}:{minute}"

    def of_release(self, release: str) -> list[str]:
        """All keys that a release owns: no key is ever found by scanning."""
        return [
            self.manifest(release),
            *(self.items(release, e) for e in Entity),
            *(self.lists(release, s) for s in Surface),
        ]


def since_value(code: int, at_us: int) -> bytes:
    """What a since hash holds of a pair: EventKind.code or OWN, and when."""
    return _SINCE.pack(code, at_us)


def since_meaning(value: bytes) -> tuple[int, int]:
    """The inverse: (code, microseconds)."""
    code, at_us = _SINCE.unpack(value)
    return code, at_us


@dataclass(frozen=True, eq=False)
class StoredList:
    """One decoded list; columns as in RankedLists."""

    method: Method
    route: Method
    reranked: bool
    count: int
    part: int
    item: np.ndarray
    score: np.ndarray
    source: np.ndarray
    reason: np.ndarray


def encode_lists(lists: RankedLists, part: int = 0) -> list[bytes]:
    """One value a list, in the order of `lists`."""
    item = lists.item.astype("<u4").tobytes()
    score = np.rint(np.clip(lists.score, 0, 1) * 65535).astype("<u2").tobytes()
    source, reason = lists.source.tobytes(), lists.reason.tobytes()
    bounds = lists.indptr.tolist()
    heads = zip(
        lists.method.tolist(),
        lists.route.tolist(),
        lists.reranked.tolist(),
        lists.count.tolist(),
        bounds[:-1],
        bounds[1:],
        strict=True,
    )
    return [
        _HEADER.pack(LIST_FORMAT, m, r, k, c, b - a, part)
        + item[4 * a : 4 * b]
        + score[2 * a : 2 * b]
        + source[a:b]
        + reason[a:b]
        for m, r, k, c, a, b in heads
    ]


def decode_list(value: bytes) -> StoredList:
    """The inverse for one list. Raises ReleaseIncomplete on another format or a wrong length."""
    if len(value) < _HEADER.size or value[0] != LIST_FORMAT:
        raise ReleaseIncomplete(
            f"expected a stored list of format {LIST_FORMAT}, got {value[:1].hex() or 'nothing'}; publish again"
        )
    _, method, route, reranked, count, n, part = _HEADER.unpack_from(value)
    if len(value) != _HEADER.size + n * _PLACE_BYTES:
        raise ReleaseIncomplete(
            f"a stored list of {n} places must have {_HEADER.size + n * _PLACE_BYTES} bytes, got {len(value)}"
        )
    at = _HEADER.size
    methods = tuple(Method)
    return StoredList(
        methods[method],
        methods[route],
        bool(reranked),
        count,
        part,
        np.frombuffer(value, "<u4", n, at),
        np.frombuffer(value, "<u2", n, at + 4 * n) / np.float32(65535),
        np.frombuffer(value, np.uint8, n, at + 6 * n),
        np.frombuffer(value, np.uint8, n, at + 7 * n),
    )


@dataclass(frozen=True, eq=False)
class LiveList:
    """What the live fallback found. value: an encoded list, empty for whoever has none on the surface.

    known: the platform knows the owner (who may have another role). made_us: microseconds since 1970 UTC.
    """

    value: bytes
    known: bool
    made_us: int

    def encode(self) -> bytes:
        return _LIVE.pack(LIST_FORMAT, self.known, self.made_us) + self.value

    @classmethod
    def decode(cls, stored: bytes) -> LiveList:
        """Raises ReleaseIncomplete on another format."""
        if len(stored) < _LIVE.size or stored[0] != LIST_FORMAT:
            raise ReleaseIncomplete(
                f"expected a live list of format {LIST_FORMAT}, got {stored[:1].hex() or 'nothing'}"
            )
        _, known, made_us = _LIVE.unpack_from(stored)
        return cls(stored[_LIVE.size :], bool(known), made_us)


@dataclass(frozen=True, eq=False)
class TrendingList:
    """What moves on a surface now; outliving releases, it names ids. ids: (n,) U36, best first; score: (n,) 0..1."""

    ids: np.ndarray
    score: np.ndarray
    made_us: int

    def encode(self) -> bytes:
        score = np.rint(np.clip(self.score, 0, 1) * 65535).astype("<u2")
        return _TRENDING.pack(LIST_FORMAT, len(self.ids), self.made_us) + pack_ids(self.ids).tobytes() + score.tobytes()

    @classmethod
    def decode(cls, stored: bytes) -> TrendingList:
        """Raises ReleaseIncomplete on another format or a wrong length."""
        if len(stored) < _TRENDING.size or stored[0] != LIST_FORMAT:
            raise ReleaseIncomplete(
                f"expected a trending list of format {LIST_FORMAT}, got {stored[:1].hex() or 'nothing'}"
            )
        _, n, made_us = _TRENDING.unpack_from(stored)
        if len(stored) != _TRENDING.size + 18 * n:
            raise ReleaseIncomplete(
                f"a trending list of {n} places must have {_TRENDING.size + 18 * n} bytes, got {len(stored)}"
            )
        packed = np.frombuffer(stored, np.uint8, 16 * n, _TRENDING.size).reshape(-1, 16)
        return cls(
            unpack_ids(packed), np.frombuffer(stored, "<u2", n, _TRENDING.size + 16 * n) / np.float32(65535), made_us
        )
