"""The id of an answer: a signed note of what was shown, so that whatever comes of it can be told without a write.

Base64url without padding of

    format 1: 1, surface | method << 2 | live << 5 | anyone << 6, route   one byte each
    format 2: 2, surface, method, live | anyone << 1, route               one byte each
    day                                                              uint16, days since 1970 UTC, big endian
    edition                                                          2 bytes, zero outside an experiment
    release, experiment, arm                                         each one byte of length and so many of ASCII
    signature                                                        12 bytes

Surface, method and route are codes. Format 1 has room for surfaces below 4 and methods below 8; it is written where the
codes fit, so that a format is no part of what an answer is. Both are read.

The signature is a keyed hash of all before it and of the owner's 16 id bytes: it binds the answer to its owner, and
nobody can read the owner from it. The same list has the same id for a day, so what was shown is counted once a day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from uuid import UUID

from models.errors import DataError
from models.schema import Entity, Method, Surface

ANSWER_FORMAT, WIDE_FORMAT = 1, 2
SPELT = re.compile(r"[A-Za-z0-9_-]{30,240}")
_HEAD, _WIDE_HEAD = struct.Struct(">BBBH2s"), struct.Struct(">BBBBBH2s")
_SURFACES, _METHODS = 4, 8  # as many codes fit into format 1
_SIGNATURE = 12
_LIVE, _ANYONE = 1 << 5, 1 << 6


@dataclass(frozen=True)
class ShownAnswer:
    """What the id of an answer says. day: days since 1970 UTC. live: computed since the build. anyone: a popular or
    trending list, made for nobody. experiment, edition, arm: empty outside every experiment."""

    surface: Surface
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
        """The id of this answer to an owner. key: 16 to 64 secret bytes."""
        head = self._head()
        words = b"".join(bytes([len(w)]) + w.encode() for w in (self.release, self.experiment, self.arm))
        note = head + words
        return base64.urlsafe_b64encode(note + _signature(note, self._bound(owner), key)).rstrip(b"=").decode()

    @classmethod
    def read(cls, spelt: str) -> ShownAnswer:
        """What an id says; whether it is ours only `was_given` knows. Raises DataError on an unknown format."""
        note = _opened(spelt)[0]
        try:
            surface, method, route, live, anyone, day, edition, rest = _headed(note)
            release, experiment, arm = _words(rest)
            return cls(
                Surface.of_code(surface),
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
            raise DataError(f"expected the id of an answer, got {spelt[:40]!r}") from error

    def was_given(self, spelt: str, user: str, startup: str, key: bytes) -> bool:
        """Whether this, read from `spelt`, was signed with the key for the owner among the two."""
        note, signature = _opened(spelt)
        owner = user if self.surface.owner is Entity.USER else startup
        return hmac.compare_digest(signature, _signature(note, self._bound(owner), key))

    def _head(self) -> bytes:
        surface, method, route = self.surface.code, self.method.code, self.route.code
        edition = bytes.fromhex(self.edition or "0000")
        if surface < _SURFACES and method < _METHODS:
            bits = surface | method << 2 | self.live * _LIVE | self.anyone * _ANYONE
            return _HEAD.pack(ANSWER_FORMAT, bits, route, self.day, edition)
        return _WIDE_HEAD.pack(WIDE_FORMAT, surface, method, self.live | self.anyone << 1, route, self.day, edition)

    def _bound(self, owner: str) -> bytes:
        return b"" if self.anyone else UUID(owner).bytes


def _opened(spelt: str) -> tuple[bytes, bytes]:
    """The note and the signature of an id. Raises DataError."""
    if not SPELT.fullmatch(spelt):
        raise DataError(f"expected the id of an answer, got {spelt[:40]!r}")
    try:
        whole = base64.urlsafe_b64decode(spelt + "=" * (-len(spelt) % 4))
    except ValueError as error:
        raise DataError(f"expected the id of an answer, got {spelt[:40]!r}") from error
    if base64.urlsafe_b64encode(whole).rstrip(b"=").decode() != spelt:  # one answer, one spelling: each counts once
        raise DataError(f"expected the id of an answer as it was given, got {spelt[:40]!r}")
    if whole[0] not in (ANSWER_FORMAT, WIDE_FORMAT):
        raise DataError(f"expected the id of an answer of format {ANSWER_FORMAT} or {WIDE_FORMAT}, got {whole[0]}")
    return whole[:-_SIGNATURE], whole[-_SIGNATURE:]


def _headed(note: bytes) -> tuple[int, int, int, bool, bool, int, bytes, bytes]:
    """Codes of surface, method and route, live, anyone, day, edition, and what follows. Raises struct.error."""
    if note[0] == ANSWER_FORMAT:
        _, bits, route, day, edition = _HEAD.unpack_from(note)
        codes, live, anyone, size = (bits & 3, bits >> 2 & 7, route), bits & _LIVE, bits & _ANYONE, _HEAD.size
    else:
        _, surface, method, bits, route, day, edition = _WIDE_HEAD.unpack_from(note)
        codes, live, anyone, size = (surface, method, route), bits & 1, bits & 2, _WIDE_HEAD.size
    return *codes, bool(live), bool(anyone), day, edition, note[size:]


def _words(rest: bytes) -> list[str]:
    """Three words. Raises ValueError where there are more or fewer."""
    found = []
    while rest:
        found.append(rest[1 : 1 + rest[0]].decode("ascii"))
        rest = rest[1 + rest[0] :]
    if len(found) != 3:
        raise ValueError(f"{len(found)} words")
    return found


def _signature(note: bytes, owner: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(owner + note, digest_size=_SIGNATURE, key=key, person=b"matchbook-answer").digest()
