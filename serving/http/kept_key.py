"""A secret key of the reader: from its setting, else from the file of MATCHBOOK_HOME that the publisher makes."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from models.errors import FileError
from models.nouns.kept_keys import kept_key, key_from

log = logging.getLogger("matchbook.reader")
LOOK_S = 10.0  # so often it is looked whether the key is there by now


class KeptKey:
    """Looks for the file again until it is there; without it, says once in a while what that costs (`without`)."""

    def __init__(self, secret: str, home: Path, name: str, without: str) -> None:
        self._value, self._home, self._name, self._without = key_from(secret) if secret else b"", home, name, without
        self._look_at = 0.0
        _ = self.value  # before the first requests come, which may be several at once

    @property
    def value(self) -> bytes:
        """32 bytes; empty while the file is neither there nor can be made here."""
        if not self._value and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            try:
                self._value = kept_key(self._home, self._name)
            except FileError as error:
                log.error("%s: %s", self._without, error)
        return self._value
