"""The ids that answers carry, and whether one that comes back was ours: signed, so nothing is kept of any answer."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from models.data.event import Event
from models.errors import DataError, FileError, RequestError
from models.keys import ANSWER_KEY, kept_key, key_from
from models.lists.answer_id import ShownAnswer
from models.settings.settings import Settings
from serving.lists import Answer

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


DAY_S = 86_400


class AnswerIds:
    """Gives every answer its id. The key is MATCHBOOK_ANSWER_KEY, else that of a file which the publisher makes."""

    def __init__(self, settings: Settings) -> None:
        self._kept = KeptKey(
            settings.answer_key.reveal(),
            settings.home,
            ANSWER_KEY,
            "answers carry no id, as there is no key that signs them",
        )

    @property
    def key(self) -> bytes:
        """Empty while the file is neither there nor can be made here."""
        return self._kept.value

    def of(self, answer: Answer, now: datetime | None = None) -> str | None:
        """The id of an answer, the same for the same list on the same day (UTC); None without a key.

        It names the build: a refresh carries its lists on, so what they earn is the build's."""
        if not self.key:
            return None
        day = int((now or datetime.now(UTC)).timestamp()) // DAY_S
        listing, names = answer.listing, {}
        if answer.arm is not None:
            experiment, arm = answer.arm
            names = {"experiment": experiment.name, "edition": experiment.edition, "arm": arm.name}
        shown = ShownAnswer(
            answer.surface,
            listing.method,
            listing.route,
            answer.held.release.build,
            day,
            answer.source == "live",
            not answer.owner,
            **names,
        )
        return shown.spell(answer.owner, self.key)

    def check(self, events: list[Event]) -> None:
        """Raises RequestError naming the first event whose answer id no answer to its owner carried."""
        for i, event in enumerate(events):
            if event.answer_id and not self._was_given(event):
                raise RequestError(
                    "malformed_event",
                    f"events[{i}].answer_id: that of an answer to this owner",
                    event.answer_id,
                    "send it as it came, with the owner whose list it was, or leave "
                    "it out; no event of this request was taken",
                )

    def _was_given(self, event: Event) -> bool:
        with suppress(DataError):
            shown = ShownAnswer.read(event.answer_id)
            return bool(self.key) and shown.was_given(event.answer_id, event.user, event.startup, self.key)
        return False
