"""Check the API key in the header X-API-Key and its scopes (L01)."""

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
NOBODY = "none"  # a caller without a key
PAGES, COOKIE = "console", "matchbook_key"  # the blueprint of the pages, and the cookie that only they accept
#: Pages that need no key. All other pages need the scope admin.
OPEN_PAGES = frozenset({"file", "sign_in"})
#: The scope that each endpoint needs; None: no key. An endpoint that is not here needs the scope admin.
NEEDS: Mapping[str, Scope | None] = {
    "alive": None,
    "ready": None,
    "openapi": None,
    "one": Scope.READ,
    "many": Scope.READ,
    "popular": Scope.READ,
    "trending": Scope.READ,
    "because": Scope.READ,
    "health": Scope.READ,
    "metrics": Scope.READ,
    "events": Scope.EVENTS,
    "releases": Scope.ADMIN,
    "find": Scope.ADMIN,
    "explain": Scope.ADMIN,
    "compare": Scope.ADMIN,
}


class KeyFile:
    """Reads the keys of a file again after each change: new and revoked keys count from the next request.

    If others may read the file, or if it is damaged, the keys read before it stay.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: tuple[tuple[int, int] | None, Mapping[str, ApiKey]] = (None, {})

    def keys(self) -> Mapping[str, ApiKey]:
        """Return the keys by id. Empty without a file."""
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
                raise SettingsError(f"only its owner may have rights on it; run `chmod 600 {self._path}`")
            keys = decode_keys(regular(self._path).read_bytes())
        except (MatchbookError, OSError) as error:
            log.error("API keys: %s is not taken over: %s", self._path, error)
            return self._held[1]
        log.info("API keys: %d in %s", len(keys), self._path)
        return keys


class Callers:
    """Checks the key of each request first and sets `g.caller` to its id."""

    def __init__(self, settings: Settings) -> None:
        self.asks, self._file = settings.asks_for_keys, KeyFile(settings.api_keys_file)
        if not self.asks:
            log.info("API keys: off, anyone who reaches %s may ask", settings.reader_host)
        elif not self._file.keys():
            log.warning("API keys: on, but %s holds none: nobody may ask", settings.api_keys_file)

    def attach(self, app: Flask) -> None:
        app.before_request(self._admit)

    def _admit(self) -> None:
        if not self.asks:
            g.caller = OPEN
            return
        rule = request.url_rule
        blueprint, _, endpoint = rule.endpoint.rpartition(".") if rule else ("", "", "")
        is_page = blueprint == PAGES
        needed = NEEDS.get(endpoint, Scope.ADMIN) if not is_page else None if endpoint in OPEN_PAGES else Scope.ADMIN
        if needed is None:
            return
        given = request.environ.get("HTTP_X_API_KEY", "")  # HEADER, without parsing all headers
        key = self._identified(given or (request.cookies.get(COOKIE, "") if is_page or rule is None else ""))
        g.caller, g.key = key.id, key
        if rule is not None:  # a caller with a key may get a 404
            _check_scope(key, needed)

    def ids(self) -> list[str]:
        """Return the public ids of all keys; OPEN where no key is asked for."""
        return list(self._file.keys()) if self.asks else [OPEN]

    def reader(self, given: str) -> str:
        """Return the public id of the key of a list request. Raises NotIdentified, NotAllowed."""
        if not self.asks:
            return OPEN
        key = self._identified(given)
        _check_scope(key, Scope.READ)
        return key.id

    def admin(self, given: str) -> ApiKey:
        """Return the key that somebody signs in with. Raises NotIdentified, NotAllowed."""
        key = self._identified(given)
        _check_scope(key, Scope.ADMIN)
        return key

    def _identified(self, given: str) -> ApiKey:
        """Find the key of a request. Raises NotIdentified, which never repeats the key."""
        keys = self._file.keys()
        if not keys:
            raise NotIdentified(
                "no_keys",
                f"an API key in the header {HEADER}",
                "a reader without any key",
                "make the first with `python -m pipelines keys add NAME`; no restart is needed",
            )
        if not given:
            raise NotIdentified(
                "key_missing",
                f"an API key in the header {HEADER}",
                "none",
                "ask the operator for a key; `python -m pipelines keys add NAME` makes one",
            )
        key = key_of(keys, given)
        if key is None:
            raise NotIdentified(
                "key_unknown",
                f"an API key in the header {HEADER}",
                "a key that this reader does not know",
                "it was mistyped or revoked; `python -m pipelines keys list` shows the known ones",
            )
        if key.has_expired(datetime.now(UTC)):
            raise NotIdentified(
                "key_expired",
                "a key that has not expired",
                f"key {key.id}, expired {key.expires_at}",
                "make a new one with `python -m pipelines keys add NAME`",
            )
        return key


def _check_scope(key: ApiKey, needed: Scope) -> None:
    """Raises NotAllowed if the key does not have this scope."""
    if not key.opens(needed):
        raise NotAllowed(
            "scope_missing",
            f"an API key with the scope {needed}",
            f"scopes {', '.join(key.scopes)}",
            f"make one with `python -m pipelines keys add NAME --scope {needed}`",
        )
