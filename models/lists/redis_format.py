"""The bytes of lists in Redis.

One list (little endian): header (12 bytes), then n items uint32, n scores uint16 (score * 65535), n source bits, n
reasons. The formats differ in the width of the last two:

| format | sources | reasons | bytes per position |
|---|---|---|---|
| 1 | uint8 | uint8, bits by REASONS | 8 |
| 2 | uint16 | uint16, bits by REASONS | 10 |
| 3 | uint8 | uint32, see models/lists/reasons.py | 11 |
| 4 | uint16 | uint32, the same | 12 |

New lists use format 3, or 4 if a source of the list needs it. So a list's bytes do not depend on other lists.
Lists with old reason bits keep formats 1 and 2, so that their release keeps its digest. Empty lists use format 1.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.batch import MASK
from models.data.entities import pack_ids, unpack_ids
from models.errors import ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.reasons import any_own, bits_of, from_bits, is_old
from models.schema import LIST_KINDS, Entity, ListKind, Method, Surface

LIST_FORMAT, WIDE_FORMAT = 1, 2
_HEADER = struct.Struct("<BBBBIHH")  # format, method, route, ranker, interaction count, places, part
#: By format: the types of sources and reasons.
_BITS: Mapping[int, tuple[np.dtype[Any], np.dtype[Any]]] = {
    LIST_FORMAT: (np.dtype("<u1"), np.dtype("<u1")),
    WIDE_FORMAT: (np.dtype("<u2"), np.dtype("<u2")),
    3: (np.dtype("<u1"), np.dtype("<u4")),
    4: (np.dtype("<u2"), np.dtype("<u4")),
}
_LIVE = struct.Struct("<BBq")  # format, known, made at (microseconds); then the list, if any
_TRENDING = struct.Struct("<BHq")  # format, places, made at (microseconds); n x 16 id bytes and n scores uint16 follow


@dataclass(frozen=True, eq=False)
class StoredList:
    """A decoded list. Columns as in RankedLists."""

    method: Method
    route: Method
    ranker: int
    count: int
    part: int
    item: NDArray[np.uint32]
    score: NDArray[np.float32]
    source: NDArray[np.uint16]
    reason: NDArray[np.uint32]

    @property
    def reranked(self) -> bool:
        return self.ranker > 0

    @property
    def impersonal(self) -> bool:
        """Return whether nothing in it depends on the owner.

        Then it is popular, not reranked, and has no reason from an owner's history. A popular list of a personalised
        owner may have such reasons.
        """
        return self.method is Method.POPULAR and not self.reranked and not any_own(self.reason)


def encode_lists(lists: RankedLists) -> list[bytes]:
    """Return the encoded value of each list."""
    item = lists.item.astype("<u4").tobytes()
    score = np.rint(np.clip(lists.score, 0, 1) * 65535).astype("<u2").tobytes()
    formats = _formats(lists)
    columns = {f: _columns(lists, f) for f in set(formats)}
    bounds = lists.indptr.tolist()
    heads = zip(
        lists.method.tolist(),
        lists.route.tolist(),
        lists.ranker.tolist(),
        lists.count.tolist(),
        lists.part.tolist(),
        bounds[:-1],
        bounds[1:],
        strict=True,
    )
    values = []
    for f, (m, r, ranker, count, part, a, b) in zip(formats, heads, strict=True):
        (source, s), (reason, w) = columns[f]
        head = _HEADER.pack(f, m, r, ranker, count, b - a, part)
        values.append(head + item[4 * a : 4 * b] + score[2 * a : 2 * b] + source[s * a : s * b] + reason[w * a : w * b])
    return values


def _columns(lists: RankedLists, format: int) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    """Return the bytes of all sources and of all reasons, each with its width."""
    source, reason = _BITS[format]
    reasons = bits_of(lists.reason) if format <= WIDE_FORMAT else lists.reason
    return (
        (lists.source.astype(source).tobytes(), source.itemsize),
        (reasons.astype(reason).tobytes(), reason.itemsize),
    )


def _formats(lists: RankedLists) -> list[int]:
    """Choose each list's narrowest format: an old one if all its reasons are old bits."""
    old = is_old(lists.reason)
    wide = (lists.source > 255) | (old & (bits_of(lists.reason) > 255))
    counts = np.diff(np.stack([_before(wide), _before(~old)])[:, lists.indptr])
    return np.asarray(1 + (counts[0] > 0) + 2 * (counts[1] > 0)).tolist()


def _before(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (n + 1,) int64: how many are true before each position."""
    return np.concatenate([[0], np.cumsum(mask)])


def decode_list(value: bytes) -> StoredList:
    """Invert `encode_lists` for one list. Raises ReleaseIncomplete on another format or a wrong length."""
    method, route, ranker, count, n, part = _opened(_HEADER, value, "stored", "; publish again", tuple(_BITS))
    source, reason = _BITS[value[0]]
    size = _HEADER.size + n * (6 + source.itemsize + reason.itemsize)
    if len(value) != size:
        raise ReleaseIncomplete(f"expected {size} bytes in a list of {n} places, got {len(value)}; publish again")
    at, methods = _HEADER.size, Method.by_code()
    if method not in methods or route not in methods:
        known = ", ".join(map(str, methods))
        raise ReleaseIncomplete(f"expected a list with methods of {known}, got {method} and {route}; publish again")
    reasons = np.frombuffer(value, reason, n, at + (6 + source.itemsize) * n)
    return StoredList(
        methods[method],
        methods[route],
        ranker,
        count,
        part,
        np.frombuffer(value, "<u4", n, at),
        np.divide(np.frombuffer(value, "<u2", n, at + 4 * n), np.float32(65535)),
        np.frombuffer(value, source, n, at + 6 * n).astype(MASK),
        from_bits(reasons) if value[0] <= WIDE_FORMAT else reasons,
    )


def _opened(
    header: struct.Struct, stored: bytes, what: str, hint: str = "", formats: tuple[int, ...] = (LIST_FORMAT,)
) -> tuple[Any, ...]:
    """Return the header fields after the format. Raises ReleaseIncomplete on another format."""
    if len(stored) < header.size or stored[0] not in formats:
        known = " or ".join(map(str, formats))
        raise ReleaseIncomplete(f"expected a {what} list of format {known}, got {stored[:1].hex() or 'nothing'}{hint}")
    return header.unpack_from(stored)[1:]


@dataclass(frozen=True, eq=False)
class LiveList:
    """The result of the live fallback.

    value: an encoded list, empty if the owner has none on the surface. made_us: microseconds since 1970 UTC.
    known: the platform knows the owner, perhaps in another role.
    """

    value: bytes
    known: bool
    made_us: int

    def encode(self) -> bytes:
        return _LIVE.pack(LIST_FORMAT, self.known, self.made_us) + self.value

    @classmethod
    def decode(cls, stored: bytes) -> LiveList:
        """Decode. Raises ReleaseIncomplete on another format."""
        known, made_us = _opened(_LIVE, stored, "live")
        return cls(stored[_LIVE.size :], bool(known), made_us)


@dataclass(frozen=True, eq=False)
class TrendingList:
    """Items that trend on a surface now, stored by id because the list outlives releases.

    ids: (n,) U36, best first. score: (n,) in 0..1. made_us: microseconds since 1970 UTC.
    """

    ids: NDArray[np.str_]
    score: NDArray[np.float32]
    made_us: int

    def encode(self) -> bytes:
        score = np.rint(np.clip(self.score, 0, 1) * 65535).astype("<u2")
        return _TRENDING.pack(LIST_FORMAT, len(self.ids), self.made_us) + pack_ids(self.ids).tobytes() + score.tobytes()

    @classmethod
    def decode(cls, stored: bytes) -> TrendingList:
        """Decode. Raises ReleaseIncomplete on another format or a wrong length."""
        n, made_us = _opened(_TRENDING, stored, "trending")
        if len(stored) != _TRENDING.size + 18 * n:
            raise ReleaseIncomplete(
                f"expected {_TRENDING.size + 18 * n} bytes of a trending list of {n} places, got {len(stored)}"
            )
        packed = np.frombuffer(stored, np.uint8, 16 * n, _TRENDING.size).reshape(-1, 16)
        return cls(
            unpack_ids(packed),
            np.divide(np.frombuffer(stored, "<u2", n, _TRENDING.size + 16 * n), np.float32(65535)),
            made_us,
        )


POPULAR_FIELD = b"*"
DRAIN_GROUP = "drain"
OWN = 255  # in place of an event type's code: the item belongs to the owner
_SINCE = struct.Struct("<Bq")  # EventType.code or OWN, microseconds since 1970 UTC


@dataclass(frozen=True)
class Keys:
    """All Redis keys of one namespace."""

    namespace: str = "matchbook"

    @property
    def current(self) -> str:
        return f"{self.namespace}:current"

    @property
    def history(self) -> str:
        return f"{self.namespace}:history"

    @property
    def publisher(self) -> str:
        """The lease of the current publisher. Its value is the publisher's token."""
        return f"{self.namespace}:publisher"

    @property
    def fence(self) -> str:
        """The newest token of any publisher. A publisher with an older token cannot write."""
        return f"{self.namespace}:fence"

    @property
    def loading(self) -> str:
        return f"{self.namespace}:loading"

    def manifest(self, release: str) -> str:
        return f"{self.namespace}:release:{release}:manifest"

    def lists(self, release: str, kind: ListKind) -> str:
        return f"{self.namespace}:release:{release}:{kind}"

    def items(self, release: str, entity: Entity) -> str:
        return f"{self.namespace}:release:{release}:items:{entity}"

    def trending(self, surface: Surface) -> str:
        return f"{self.namespace}:trending:{surface}"

    def live(self, release: str, kind: ListKind, owner: str) -> str:
        return f"{self.namespace}:live:{release}:{kind}:{owner}"

    def flight(self, release: str, kind: ListKind, owner: str) -> str:
        return f"{self.namespace}:flight:{release}:{kind}:{owner}"

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
    def erased(self) -> str:
        """Marks of erased ids, and the key that makes them."""
        return f"{self.namespace}:erased"

    @property
    def events(self) -> str:
        return f"{self.namespace}:events"

    @property
    def drain(self) -> str:
        return f"{self.namespace}:drain"

    @property
    def earnings(self) -> str:
        return f"{self.namespace}:earnings"

    @property
    def builds(self) -> str:
        """A hash: release -> summary of its build's report (pipelines/report/summary.py)."""
        return f"{self.namespace}:builds"

    @property
    def doctor(self) -> str:
        """The findings of the last diagnosis (pipelines/doctor/keep.py)."""
        return f"{self.namespace}:doctor"

    def rate(self, caller: str, minute: int) -> str:
        return f"{self.namespace}:rate:{caller}:{minute}"

    def posted(self, caller: str, minute: int) -> str:
        return f"{self.namespace}:posted:{caller}:{minute}"

    def claimed(self, caller: str, day: int) -> str:
        return f"{self.namespace}:claimed:{caller}:{day}"

    def of_release(self, release: str) -> list[str]:
        """Return all keys of a release, so that no scan is needed."""
        return [
            self.manifest(release),
            *(self.items(release, e) for e in Entity),
            *(self.lists(release, kind) for kind in LIST_KINDS),
        ]


def since_value(code: int, at_us: int) -> bytes:
    """Encode a pair's value in a since hash: EventType.code or OWN, and the time.

    The time of a posted event is its receipt.
    """
    return _SINCE.pack(code, at_us)


def since_meaning(value: bytes) -> tuple[int, int]:
    """Decode `since_value` as (code, microseconds). An invalid value reads as OWN at 0, without effect."""
    code, at_us = _SINCE.unpack(value) if len(value) == _SINCE.size else (OWN, 0)
    return code, at_us
