"""The ids that answers carry, and whether one that comes back was ours: signed, so nothing is kept of any answer."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from models.errors import DataError, RequestError
from models.nouns.interactions import Event
from models.nouns.kept_keys import ANSWER_KEY
from models.nouns.release.answers import ShownAnswer
from models.settings import Settings
from serving.http.kept_key import KeptKey
from serving.lists import Answer

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
