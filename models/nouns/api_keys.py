"""Who may ask: API keys with their scopes, and the one file that holds them, hashed (L01).

    {"format": 1, "keys": [{"id": "3f9a2c1b04de", "name": "backend", "sha256": "…", "scopes": ["read"],
                            "created_at": "2024-05-01T02:00:00+00:00", "expires_at": null}]}

A key is "mbk_<id>_<secret>". Its id is public: it finds the entry and stands in logs and counters. The secret is 256
random bits, so one SHA-256 is all the hashing it needs (docs/decisions/reader/api-keys.md).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from models.errors import SettingsError

KEYS_FORMAT = 1
_SPELT = re.compile(r"mbk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_HASH = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a key opens: lists and numbers, the posting of events, or everything."""

    READ = "read"
    EVENTS = "events"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey:
    """One key as it is kept. sha256: of the whole key, hex. created_at, expires_at: ISO 8601 with a zone."""

    id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    created_at: str
    expires_at: str | None = None

    def is_spelt(self, key: str) -> bool:
        """Whether this is the key, in a time that does not tell how much of it was right."""
        return hmac.compare_digest(_hashed(key), self.sha256)

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= datetime.fromisoformat(self.expires_at)

    def opens(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


def new_key(name: str, scopes: Iterable[Scope], now: datetime, until: datetime | None = None) -> tuple[ApiKey, str]:
    """A key to keep and its spelling, which is not kept. Raises SettingsError on a name that a log cannot hold."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"a key's name must be 1 to 40 letters, digits, dots or dashes, got {name!r}")
    public = secrets.token_hex(6)
    spelt = f"mbk_{public}_{secrets.token_urlsafe(32)}"
    ends = until.isoformat(timespec="seconds") if until else None
    return ApiKey(public, name, _hashed(spelt), tuple(sorted(set(scopes))), now.isoformat(timespec="seconds"),
                  ends), spelt


def key_of(keys: Mapping[str, ApiKey], spelt: str) -> ApiKey | None:
    """The key that is spelt so, None where it is not held."""
    found = _SPELT.fullmatch(spelt)
    key = keys.get(found[1]) if found else None
    return key if key is not None and key.is_spelt(spelt) else None


def encode_keys(keys: Iterable[ApiKey]) -> str:
    """The text of the file."""
    return json.dumps({"format": KEYS_FORMAT, "keys": [asdict(k) for k in keys]}, indent=1) + "\n"


def decode_keys(text: str | bytes) -> dict[str, ApiKey]:
    """Keys by id. Raises SettingsError on anything that `encode_keys` would not have written."""
    try:
        said = json.loads(text)
        if said["format"] != KEYS_FORMAT:
            raise ValueError(f"format {said['format']!r}, expected {KEYS_FORMAT}")
        return {k.id: k for k in map(_checked, said["keys"])}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError(f"not a file of API keys: {error}; `python -m pipelines keys add` makes one") from error


def _checked(said: Mapping[str, object]) -> ApiKey:
    key = ApiKey(**said)  # type: ignore[arg-type]  # the lines below look at each field
    for instant in filter(None, (key.created_at, key.expires_at)):
        if datetime.fromisoformat(instant).tzinfo is None:
            raise ValueError(f"{instant} of key {key.id} carries no zone")
    if not _HASH.fullmatch(key.sha256):
        raise ValueError(f"key {key.id} has no SHA-256")
    return ApiKey(key.id, key.name, key.sha256, tuple(Scope(s) for s in key.scopes), key.created_at, key.expires_at)


def _hashed(spelt: str) -> str:
    return hashlib.sha256(spelt.encode()).hexdigest()
