"""The bytes of lists in Redis.

One list (little endian): header (12 bytes), then n items uint32, n scores uint16 (score * 65535), n source bits, n
reason bits. In format 1 bits are uint8, 8 bytes a place; in format 2 uint16, 10 bytes a place. A list is written in
format 2 only where one of its own bits is beyond the eighth: what other lists hold must not change its bytes.
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
from models.schema import Entity, Method, Standing, Surface

LIST_FORMAT, WIDE_FORMAT = 1, 2
#: The bits of reasons that may come from the owner: all that are no standing of the item's own.
_SHARED = MASK(np.iinfo(MASK).max - sum(1 << s.code for s in Standing))
_HEADER = struct.Struct("<BBBBIHH")  # format, method, route, reranked, interaction count, places, part
#: By format what the bits of a place are; as many bytes as its number.
_BITS: Mapping[int, np.dtype[Any]] = {LIST_FORMAT: np.dtype("<u1"), WIDE_FORMAT: np.dtype("<u2")}
_LIVE = struct.Struct("<BBq")  # format, known, made at (microseconds); the list follows, unless there is none
_TRENDING = struct.Struct("<BHq")  # format, places, made at (microseconds); n x 16 id bytes and n scores uint16 follow


@dataclass(frozen=True, eq=False)
class StoredList:
    """One decoded list; columns as in RankedLists."""

    method: Method
    route: Method
    reranked: bool
    count: int
    part: int
    item: NDArray[np.uint32]
    score: NDArray[np.float32]
    source: NDArray[np.uint16]
    reason: NDArray[np.uint16]

    @property
    def impersonal(self) -> bool:
        """Whether nothing of it comes from the owner: popular, not reranked, and no reason is a facet that they met.

        A popular list of somebody who had not opted out may be personal: it fills up what no model could answer."""
        return self.method is Method.POPULAR and not self.reranked and not (self.reason & _SHARED).any()


def encode_lists(lists: RankedLists) -> list[bytes]:
    """One value a list, in the order of `lists`."""
    item = lists.item.astype("<u4").tobytes()
    score = np.rint(np.clip(lists.score, 0, 1) * 65535).astype("<u2").tobytes()
    formats = _formats(lists)
    masks = {f: [m.astype(_BITS[f]).tobytes() for m in (lists.source, lists.reason)] for f in set(formats)}
    bounds = lists.indptr.tolist()
    heads = zip(
        lists.method.tolist(),
        lists.route.tolist(),
        lists.reranked.tolist(),
        lists.count.tolist(),
        lists.part.tolist(),
        bounds[:-1],
        bounds[1:],
        strict=True,
    )
    return [
        _HEADER.pack(f, m, r, k, c, b - a, part)
        + item[4 * a : 4 * b]
        + score[2 * a : 2 * b]
        + masks[f][0][f * a : f * b]
        + masks[f][1][f * a : f * b]
        for f, (m, r, k, c, part, a, b) in zip(formats, heads, strict=True)
    ]


def _formats(lists: RankedLists) -> list[int]:
    """Of each list the narrowest format that holds its bits."""
    wide = np.concatenate([[0], np.cumsum((lists.source | lists.reason) > 255)])[lists.indptr]
    return np.where(np.diff(wide) > 0, WIDE_FORMAT, LIST_FORMAT).tolist()


def decode_list(value: bytes) -> StoredList:
    """The inverse for one list. Raises ReleaseIncomplete on another format or a wrong length."""
    method, route, reranked, count, n, part = _opened(_HEADER, value, "stored", "; publish again", tuple(_BITS))
    kind = _BITS[value[0]]
    size = _HEADER.size + n * (6 + 2 * kind.itemsize)
    if len(value) != size:
        raise ReleaseIncomplete(f"a stored list of {n} places must have {size} bytes, got {len(value)}")
    at, methods = _HEADER.size, Method.by_code()
    if method not in methods or route not in methods:
        known = ", ".join(map(str, methods))
        raise ReleaseIncomplete(f"a stored list must name methods among {known}, got {method} and {route}")
    return StoredList(
        methods[method],
        methods[route],
        bool(reranked),
        count,
        part,
        np.frombuffer(value, "<u4", n, at),
        np.divide(np.frombuffer(value, "<u2", n, at + 4 * n), np.float32(65535)),
        np.frombuffer(value, kind, n, at + 6 * n).astype(MASK),
        np.frombuffer(value, kind, n, at + (6 + kind.itemsize) * n).astype(MASK),
    )


def _opened(
    header: struct.Struct, stored: bytes, what: str, hint: str = "", formats: tuple[int, ...] = (LIST_FORMAT,)
) -> tuple[Any, ...]:
    """The fields of a header behind the format. Raises ReleaseIncomplete on another format."""
    if len(stored) < header.size or stored[0] not in formats:
        known = " or ".join(map(str, formats))
        raise ReleaseIncomplete(f"expected a {what} list of format {known}, got {stored[:1].hex() or 'nothing'}{hint}")
    return header.unpack_from(stored)[1:]


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
        known, made_us = _opened(_LIVE, stored, "live")
        return cls(stored[_LIVE.size :], bool(known), made_us)


@dataclass(frozen=True, eq=False)
class TrendingList:
    """What moves on a surface now; outliving releases, it names ids. ids: (n,) U36, best first; score: (n,) 0..1."""

    ids: NDArray[np.str_]
    score: NDArray[np.float32]
    made_us: int

    def encode(self) -> bytes:
        score = np.rint(np.clip(self.score, 0, 1) * 65535).astype("<u2")
        return _TRENDING.pack(LIST_FORMAT, len(self.ids), self.made_us) + pack_ids(self.ids).tobytes() + score.tobytes()

    @classmethod
    def decode(cls, stored: bytes) -> TrendingList:
        """Raises ReleaseIncomplete on another format or a wrong length."""
        n, made_us = _opened(_TRENDING, stored, "trending")
        if len(stored) != _TRENDING.size + 18 * n:
            raise ReleaseIncomplete(
                f"a trending list of {n} places must have {_TRENDING.size + 18 * n} bytes, got {len(stored)}"
            )
        packed = np.frombuffer(stored, np.uint8, 16 * n, _TRENDING.size).reshape(-1, 16)
        return cls(
            unpack_ids(packed),
            np.divide(np.frombuffer(stored, "<u2", n, _TRENDING.size + 16 * n), np.float32(65535)),
            made_us,
        )


POPULAR_FIELD = b"*"
DRAIN_GROUP = "drain"
OWN = 255  # in place of the code of a kind: not met, but the owner's own
_SINCE = struct.Struct("<Bq")  # EventType.code or OWN, microseconds since 1970 UTC


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
    def erased(self) -> str:
        """Marks of erased people and the key that makes them."""
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

    def rate(self, caller: str, minute: int) -> str:
        return f"{self.namespace}:rate:{caller}:{minute}"

    def posted(self, caller: str, minute: int) -> str:
        return f"{self.namespace}:posted:{caller}:{minute}"

    def claimed(self, caller: str, day: int) -> str:
        return f"{self.namespace}:claimed:{caller}:{day}"

    def of_release(self, release: str) -> list[str]:
        """All keys that a release owns: no key is ever found by scanning."""
        return [
            self.manifest(release),
            *(self.items(release, e) for e in Entity),
            *(self.lists(release, s) for s in Surface),
        ]


def since_value(code: int, at_us: int) -> bytes:
    """What a since hash holds of a pair: EventType.code or OWN, and when it was; of a posted event when it came."""
    return _SINCE.pack(code, at_us)


def since_meaning(value: bytes) -> tuple[int, int]:
    """The inverse: (code, microseconds); of what is no such value as of OWN, which counts for nothing."""
    code, at_us = _SINCE.unpack(value) if len(value) == _SINCE.size else (OWN, 0)
    return code, at_us
