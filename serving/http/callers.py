"""Who asks: an API key in the header X-API-Key, and how far its scopes reach (L01)."""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, g, request

from models.errors import MatchbookError, NotAllowed, NotIdentified, SettingsError, regular
from models.keys import ApiKey, Scope, decode_keys, key_of
from models.settings.settings import Settings
from serving.lists import OPEN

log = logging.getLogger("matchbook.reader")

HEADER = "X-API-Key"
NOBODY = "none"  # the caller who has not shown a key
#: What an endpoint asks for, by its name; None: no key. An endpoint that is not listed needs the scope admin.
NEEDS: Mapping[str, Scope | None] = {
    "alive": None,
    "ready": None,
    "openapi": None,
    "file": None,  # the page is no secret, what it asks for is
    "one": Scope.READ,
    "many": Scope.READ,
    "popular": Scope.READ,
    "trending": Scope.READ,
    "health": Scope.READ,
    "metrics": Scope.READ,
    "events": Scope.EVENTS,
    "releases": Scope.ADMIN,
    "find": Scope.ADMIN,
    "explain": Scope.ADMIN,
    "compare": Scope.ADMIN,
}


class KeyFile:
    """The keys of a file, read again when it has changed: a new key works and a revoked one ends with the next request.

    A file that others may read or that cannot be understood is not taken over; what was held before stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: tuple[tuple[int, int] | None, Mapping[str, ApiKey]] = (None, {})

    def keys(self) -> Mapping[str, ApiKey]:
        """By id; empty where there is no file."""
        try:
            found = self._path.stat()
        except OSError:
            self._held = (None, {})
            return {}
        version = (found.st_ino, found.st_ctime_ns)
        if version != self._held[0]:
            self._held = (version, self._read(found.st_mode))
        return self._held[1]

    def _read(self, mode: int) -> Mapping[str, ApiKey]:
        try:
            if stat.S_IMODE(mode) & 0o077:
                raise SettingsError(f"others than its owner may read it; `chmod 600 {self._path}`")
            keys = decode_keys(regular(self._path).read_bytes())
        except (MatchbookError, OSError) as error:
            log.error("API keys: %s is not taken over: %s", self._path, error)
            return self._held[1]
        log.info("API keys: %d in %s", len(keys), self._path)
        return keys


class Callers:
    """Lets requests in, before anything else is done for them, and leaves in `g.caller` the id of the key."""

    def __init__(self, settings: Settings) -> None:
        self._asks, self._file = settings.asks_for_keys, KeyFile(settings.api_keys_file)
        if not self._asks:
            log.info("API keys: off, whoever reaches %s may ask", settings.reader_host)
        elif not self._file.keys():
            log.warning("API keys: on, but none is held in %s: nobody may ask", settings.api_keys_file)

    def attach(self, app: Flask) -> None:
        app.before_request(self._admit)

    def _admit(self) -> None:
        if not self._asks:
            g.caller = OPEN
            return
        rule = request.url_rule
        endpoint = rule.endpoint.rpartition(".")[2] if rule else ""
        needed = NEEDS.get(endpoint, Scope.ADMIN)
        if needed is None:
            return
        key = self._identified(request.environ.get("HTTP_X_API_KEY", ""))  # of HEADER, without building all others
        g.caller, g.key = key.id, key
        if rule is not None and not key.opens(needed):  # what does not exist is no secret to whoever has a key
            raise NotAllowed(
                "scope_missing",
                f"an API key with the scope {needed}",
                f"scopes {', '.join(key.scopes)}",
                f"make one with `python -m pipelines keys add NAME --scope {needed}`",
            )

    def _identified(self, spelt: str) -> ApiKey:
        """Raises NotIdentified; a key is never repeated in an answer."""
        keys = self._file.keys()
        if not keys:
            raise NotIdentified(
                "no_keys",
                f"an API key in the header {HEADER}",
                "no key is held by this reader",
                "make the first with `python -m pipelines keys add NAME`; no restart is needed",
            )
        if not spelt:
            raise NotIdentified(
                "key_missing",
                f"an API key in the header {HEADER}",
                "none",
                "ask the operator for a key; `python -m pipelines keys add NAME` makes one",
            )
        key = key_of(keys, spelt)
        if key is None:
            raise NotIdentified(
                "key_unknown",
                f"an API key in the header {HEADER}",
                "a key that is not held",
                "it was mistyped or revoked; `python -m pipelines keys list` shows which are held",
            )
        if key.has_expired(datetime.now(UTC)):
            raise NotIdentified(
                "key_expired",
                "a key that has not expired",
                f"key {key.id}, expired {key.expires_at}",
                "make a new one with `python -m pipelines keys add NAME`",
            )
        return key
