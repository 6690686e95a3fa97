"""The id of an answer: a signed record of what was shown. It attributes later events without a write.

Base64url without padding of

    format 1: 1, surface | method << 2 | live << 5 | anyone << 6, route   one byte each
    format 2: 2, surface, method, live | anyone << 1, route               one byte each
    day                                                              uint16, days since 1970 UTC, big endian
    edition                                                          2 bytes, zero outside an experiment
    release, experiment, arm                                         each one byte of length, then that many of ASCII
    signature                                                        12 bytes

Surface, method and route are codes. Format 1 holds surfaces below 4 and methods below 8 and is written where they fit.
Both formats are read.

The signature is a keyed hash of everything before it and of the owner's 16 id bytes. It binds the answer to its owner
without revealing the owner. A list keeps its id for a day, so that it counts once a day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from functools import cached_property

from models.errors import DataError
from models.schema import Entity, ListKind, Method, list_kind

ANSWER_FORMAT, WIDE_FORMAT = 1, 2
SPELT = re.compile(r"[A-Za-z0-9_-]{30,240}")
_HEAD, _WIDE_HEAD = struct.Struct(">BBBH2s"), struct.Struct(">BBBBBH2s")
_SURFACES, _METHODS = 4, 8  # numbers of codes that fit into format 1
_SIGNATURE = 12
_LIVE, _ANYONE = 1 << 5, 1 << 6


@dataclass(frozen=True)
class ShownAnswer:
    """The content of an answer's id.

    day: days since 1970 UTC. live: computed since the build. anyone: popular, trending or similar, bound to no owner.
    experiment, edition, arm: empty outside an experiment.
    """

    surface: ListKind
    method: Method
    route: Method
    release: str
    day: int
    live: bool = False
    anyone: bool = False
    experiment: str = ""
    edition: str = ""
    arm: str = ""

    def spell(self, owner: str, key: bytes) -> str:
        """Return this answer's id, signed for an owner. key: 16 to 64 secret bytes."""
        note = self._note
        return base64.urlsafe_b64encode(note + _signature(note, self._bound(owner), key)).rstrip(b"=").decode()

    @classmethod
    def read(cls, text: str) -> ShownAnswer:
        """Read an id. Only `was_given` checks the signature. Raises DataError for an unknown format."""
        note = _opened(text)[0]
        try:
            surface, method, route, live, anyone, day, edition, rest = _headed(note)
            release, experiment, arm = _words(rest)
            return cls(
                list_kind(surface),
                Method.of_code(method),
                Method.of_code(route),
                release,
                day,
                live,
                anyone,
                experiment,
                edition.hex() if experiment else "",
                arm,
            )
        except (struct.error, IndexError, ValueError) as error:
            raise DataError(f"expected the id of an answer, got {text[:40]!r}") from error

    def was_given(self, text: str, user: str, startup: str, key: bytes) -> bool:
        """Return whether `text`, the id of this answer, was signed for the owner among user and startup."""
        note, signature = _opened(text)
        owner = user if self.surface.owner is Entity.USER else startup
        return hmac.compare_digest(signature, _signature(note, self._bound(owner), key))

    @cached_property
    def _note(self) -> bytes:
        words = b"".join(bytes([len(w)]) + w.encode() for w in (self.release, self.experiment, self.arm))
        return self._head() + words

    def _head(self) -> bytes:
        surface, method, route = self.surface.code, self.method.code, self.route.code
        edition = bytes.fromhex(self.edition or "0000")
        if surface < _SURFACES and method < _METHODS:
            bits = surface | method << 2 | self.live * _LIVE | self.anyone * _ANYONE
            return _HEAD.pack(ANSWER_FORMAT, bits, route, self.day, edition)
        return _WIDE_HEAD.pack(WIDE_FORMAT, surface, method, self.live | self.anyone << 1, route, self.day, edition)

    def _bound(self, owner: str) -> bytes:
        return b"" if self.anyone else bytes.fromhex(owner.replace("-", ""))


def _opened(text: str) -> tuple[bytes, bytes]:
    """Split an id into its signed bytes and its signature. Raises DataError."""
    if not SPELT.fullmatch(text):
        raise DataError(f"expected the id of an answer, got {text[:40]!r}")
    try:
        whole = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise DataError(f"expected the id of an answer, got {text[:40]!r}") from error
    if (
        base64.urlsafe_b64encode(whole).rstrip(b"=").decode() != text
    ):  # only one text form is valid, so that it counts once
        raise DataError(f"expected the id of an answer as it was given, got {text[:40]!r}")
    if whole[0] not in (ANSWER_FORMAT, WIDE_FORMAT):
        raise DataError(f"expected the id of an answer of format {ANSWER_FORMAT} or {WIDE_FORMAT}, got {whole[0]}")
    return whole[:-_SIGNATURE], whole[-_SIGNATURE:]


def _headed(note: bytes) -> tuple[int, int, int, bool, bool, int, bytes, bytes]:
    """Return codes of surface, method and route, live, anyone, day, edition, and the remaining bytes.

    Raises struct.error.
    """
    if note[0] == ANSWER_FORMAT:
        _, bits, route, day, edition = _HEAD.unpack_from(note)
        codes, live, anyone, size = (bits & 3, bits >> 2 & 7, route), bits & _LIVE, bits & _ANYONE, _HEAD.size
    else:
        _, surface, method, bits, route, day, edition = _WIDE_HEAD.unpack_from(note)
        codes, live, anyone, size = (surface, method, route), bits & 1, bits & 2, _WIDE_HEAD.size
    return *codes, bool(live), bool(anyone), day, edition, note[size:]


def _words(rest: bytes) -> list[str]:
    """Return the three length-prefixed texts. Raises ValueError for another number of them."""
    found = []
    while rest:
        found.append(rest[1 : 1 + rest[0]].decode("ascii"))
        rest = rest[1 + rest[0] :]
    if len(found) != 3:
        raise ValueError(f"expected 3 texts, got {len(found)}")
    return found


def _signature(note: bytes, owner: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(owner + note, digest_size=_SIGNATURE, key=key, person=b"matchbook-answer").digest()
