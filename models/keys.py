"""API keys with their scopes, and the file that stores them hashed (L01).

    {"format": 1, "keys": [{"id": "3f9a2c1b04de", "name": "backend", "sha256": "…", "scopes": ["read"],
                            "created_at": "2024-05-01T02:00:00+00:00", "expires_at": null}]}

Format 2 adds `types`, `users` and `startups`: the events that the key may post. It is written only if a key is
restricted.

A key is "mbk_<id>_<secret>". The id is public: it finds the entry and appears in logs and counters. The secret has 256
random bits, so one SHA-256 is enough (docs/decisions/0016-api-keys.md).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from models.errors import FileError, SettingsError, file_error, regular
from models.schema import EventType

#: Formats of the file. Older versions can read it if no key is restricted.
KEYS_FORMAT, BOUND_FORMAT = 1, 2
_KEY = re.compile(r"mbk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_HASH = re.compile(r"[0-9a-f]{64}")
_BEGINS = re.compile(r"[0-9a-f][0-9a-f-]{0,35}")
#: Fields that restrict the events a key may post; empty: no restriction.
BOUNDS = ("types", "users", "startups")


class Scope(StrEnum):
    """What a key allows: reading, posting events, or everything."""

    READ = "read"
    EVENTS = "events"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey:
    """A stored key. sha256: of the whole key, hex. created_at, expires_at: ISO 8601 with zone.

    types, users, startups: valid event types, and ids or prefixes of ids; empty: any.
    """

    id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    created_at: str
    expires_at: str | None = None
    types: tuple[EventType, ...] = ()
    users: tuple[str, ...] = ()
    startups: tuple[str, ...] = ()

    @property
    def bound(self) -> bool:
        """Return whether the key may post only some events."""
        return any(getattr(self, name) for name in BOUNDS)

    def forbids(self, kind: EventType, user: str, startup: str) -> str:
        """Return the first field of an event that this key may not post; empty if it may post the event."""
        if self.types and kind not in self.types:
            return "type"
        if self.users and not user.startswith(self.users):
            return "user_id"
        return "startup_id" if self.startups and not startup.startswith(self.startups) else ""

    def is_spelt(self, key: str) -> bool:
        """Return whether the text is this key, compared in constant time."""
        return hmac.compare_digest(_hashed(key), self.sha256)

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= datetime.fromisoformat(self.expires_at)

    def opens(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


def new_key(
    name: str,
    scopes: Iterable[Scope],
    now: datetime,
    until: datetime | None = None,
    bounds: Mapping[str, Iterable[str]] | None = None,
) -> tuple[ApiKey, str]:
    """Make a key: as stored, and its text, which is not stored.

    bounds: its restrictions by BOUNDS.
    Raises SettingsError for an invalid name or bounds, and for bounds of a key without events or with admin.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"a key's name must be 1 to 40 letters, digits, dots, dashes or underscores, got {name!r}")
    public = secrets.token_hex(6)
    text = f"mbk_{public}_{secrets.token_urlsafe(32)}"
    ends = until.isoformat(timespec="seconds") if until else None
    chosen = {k: tuple(sorted({v.lower() for v in values})) for k, values in (bounds or {}).items()}
    try:
        return _checked(
            {
                "id": public,
                "name": name,
                "sha256": _hashed(text),
                "scopes": tuple(sorted(set(scopes))),
                "created_at": now.isoformat(timespec="seconds"),
                "expires_at": ends,
                **chosen,
            }
        ), text
    except ValueError as error:
        raise SettingsError(str(error)) from error


def key_of(keys: Mapping[str, ApiKey], text: str) -> ApiKey | None:
    """Return the key with this text, or None."""
    found = _KEY.fullmatch(text)
    key = keys.get(found[1]) if found else None
    return key if key is not None and key.is_spelt(text) else None


def encode_keys(keys: Iterable[ApiKey]) -> str:
    """Return the content of the file."""
    held = list(keys)
    bound = any(k.bound for k in held)
    entries = [{name: value for name, value in asdict(k).items() if bound or name not in BOUNDS} for k in held]
    return json.dumps({"format": BOUND_FORMAT if bound else KEYS_FORMAT, "keys": entries}, indent=1) + "\n"


def decode_keys(text: str | bytes) -> dict[str, ApiKey]:
    """Return keys by id. Raises SettingsError for anything that `encode_keys` does not write."""
    try:
        said = json.loads(text)
        if said["format"] not in (KEYS_FORMAT, BOUND_FORMAT):
            raise ValueError(f"expected format {KEYS_FORMAT} or {BOUND_FORMAT}, got {said['format']!r}")
        keys = {k.id: k for k in map(_checked, said["keys"])}
        if any(k.bound for k in keys.values()) != (said["format"] == BOUND_FORMAT):
            raise ValueError(f"expected a restricted key in format {BOUND_FORMAT}, none in {KEYS_FORMAT}; got another")
        return keys
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError(f"not a file of API keys: {error}; `python -m pipelines keys add` writes one") from error


def _checked(said: Mapping[str, object]) -> ApiKey:
    key = ApiKey(**said)  # type: ignore[arg-type]  # each field is checked below
    for instant in filter(None, (key.created_at, key.expires_at)):
        if datetime.fromisoformat(instant).tzinfo is None:
            raise ValueError(f"{instant} of key {key.id} has no time zone")
    if not _HASH.fullmatch(key.sha256):
        raise ValueError(f"key {key.id} has no SHA-256")
    scopes, types = tuple(Scope(s) for s in key.scopes), tuple(EventType(t) for t in key.types)
    if any(isinstance(getattr(key, name), str) for name in ("scopes", *BOUNDS)):
        raise ValueError(f"key {key.id} has a text, expected a list")
    for start in (*key.users, *key.startups):
        if not _BEGINS.fullmatch(start):
            raise ValueError(f"expected an id, or the beginning of ids such as 3f2b8c, in lower case, got {start!r}")
    if key.bound and (Scope.EVENTS not in scopes or Scope.ADMIN in scopes):
        raise ValueError("a key with restricted events must have the scope events and not the scope admin")
    return replace(key, scopes=scopes, types=types, users=tuple(key.users), startups=tuple(key.startups))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


#: Files of two keys: one signs answer ids, one pseudonymises owners in the access log.
ANSWER_KEY, PSEUDONYM_KEY = "answer-key", "pseudonym-key"

_SHORTEST = 32  # characters; a file cut off by a full disk has fewer


def kept_key(home: Path, name: str) -> bytes:
    """Read the key in a file, or create the file, readable only by its owner. Raises FileError."""
    path = home / name
    try:
        _make_missing(path)
    except OSError as error:
        raise file_error(error) from error
    secret = regular(path).read_text().strip()
    if len(secret) < _SHORTEST:
        raise FileError(f"{path} is cut off; remove it, and a new key is created")
    return key_from(secret)


def _make_missing(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(aside, path)  # if two processes create it, both use the first
        except FileExistsError:
            pass
        finally:
            aside.unlink()


def key_from(secret: str) -> bytes:
    """Return 32 bytes of a secret of any length."""
    return hashlib.blake2b(secret.strip().encode(), digest_size=32).digest()
