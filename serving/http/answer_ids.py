"""Make and check answer ids. The ids are signed, so the reader stores no answers."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from models.data.event import Event
from models.errors import DataError, FileError, RequestError
from models.keys import ANSWER_KEY, kept_key, key_from
from models.lists.answer_id import ShownAnswer
from models.schema import Similar
from models.settings.settings import Settings
from serving.lists import Answer

log = logging.getLogger("matchbook.reader")
LOOK_S = 10.0  # seconds between searches for a missing key


class KeptKey:
    """Holds a key from a setting or a file. A missing file is searched again, and the log shows `without`."""

    def __init__(self, secret: str, home: Path, name: str, without: str) -> None:
        self._value, self._home, self._name, self._without = key_from(secret) if secret else b"", home, name, without
        self._look_at = 0.0
        _ = self.value  # read now, because the first requests may come at the same time

    @property
    def value(self) -> bytes:
        """Return 32 bytes. Empty while the file does not exist and cannot be made here."""
        if not self._value and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            try:
                self._value = kept_key(self._home, self._name)
            except FileError as error:
                log.error("%s: %s", self._without, error)
        return self._value


DAY_S = 86_400


#: The facts in an answer id. Lists of one surface, build, day, route, method and arm share them.
_shown = lru_cache(maxsize=512)(ShownAnswer)


class AnswerIds:
    """Gives every answer an id. The key is MATCHBOOK_ANSWER_KEY, else the publisher's file."""

    def __init__(self, settings: Settings) -> None:
        self._kept = KeptKey(
            settings.answer_key.reveal(),
            settings.home,
            ANSWER_KEY,
            "answers carry no id, because there is no key to sign them",
        )

    @property
    def key(self) -> bytes:
        """Return 32 bytes, or nothing without a key."""
        return self._kept.value

    def of(self, answer: Answer, now: datetime | None = None) -> str | None:
        """Return the id of an answer, constant for one list on one day (UTC). None without a key.

        It names the build, not the refresh, because a refresh keeps the lists of its build.
        """
        if not self.key:
            return None
        day = int((now or datetime.now(UTC)).timestamp()) // DAY_S
        listing = answer.listing
        shown = _shown(
            answer.surface,
            listing.method,
            listing.route,
            answer.held.release.build,
            day,
            answer.source == "live",
            not answer.owner or isinstance(answer.surface, Similar),  # shown to somebody else than its owner
            *((answer.arm[0].name, answer.arm[0].edition, answer.arm[1].name) if answer.arm else ()),
        )
        return shown.spell(answer.owner, self.key)

    def check(self, events: list[Event]) -> None:
        """Raises RequestError at the first event whose answer id was not issued to its owner."""
        for i, event in enumerate(events):
            if event.answer_id and not self._was_given(event):
                raise RequestError(
                    "malformed_event",
                    f"events[{i}].answer_id: the id of an answer to this owner",
                    event.answer_id,
                    "send the id unchanged, with the owner of the list, or leave "
                    "it out; no event of this request was taken",
                )

    def _was_given(self, event: Event) -> bool:
        with suppress(DataError):
            shown = ShownAnswer.read(event.answer_id)
            return bool(self.key) and shown.was_given(event.answer_id, event.user, event.startup, self.key)
        return False
