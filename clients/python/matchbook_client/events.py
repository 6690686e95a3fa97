"""Makes events from answers: with the owner on the right side, a new event id, and the answer's id and place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from matchbook_client.types import (
    SURFACES,
    Event,
    EventType,
    Item,
    SimilarStartupList,
    SimilarUserList,
    StartupList,
    UserList,
)

Answer = StartupList | UserList | SimilarStartupList | SimilarUserList


def items_of(answer: Answer) -> Sequence[Item]:
    """Return the items of any kind of list."""
    return answer["startups"] if "startups" in answer else answer["users"]


def event(
    kind: EventType,
    answer: Answer,
    owner: str,
    item: str,
    *,
    user: str | None = None,
    startup: str | None = None,
    offset: int = 0,
    at: datetime | None = None,
) -> Event:
    """Return what an owner did with an item of their answer. Raises ValueError for a similar list without who saw it.

    user: who saw a list of similar startups. startup: for which a list of similar people was shown. offset: of the
    request that gave the answer. at: with a zone; by default the time at which the reader takes it.
    Keep the event until the reader has taken it: the same event sent twice counts once.
    """
    owner = _who_saw(answer, owner, user, startup)
    user_id, startup_id = (owner, item) if "startups" in answer else (item, owner)
    made: Event = {"event_id": str(uuid4()), "user_id": user_id, "startup_id": startup_id, "type": kind}
    shown = [i["id"] for i in items_of(answer)]
    if answer["answer_id"] is not None:
        made["answer_id"] = answer["answer_id"]
        if item in shown:
            made["position"] = offset + shown.index(item) + 1
    if at is not None:
        made["at"] = at.isoformat()
    return made


def impressions(
    answer: Answer, owner: str, *, user: str | None = None, startup: str | None = None, offset: int = 0
) -> list[Event]:
    """Return an impression of each item of an answer that was shown whole. user, startup: as in `event`."""
    _who_saw(answer, owner, user, startup)  # also of an empty list
    return [
        event("impression", answer, owner, item["id"], user=user, startup=startup, offset=offset)
        for item in items_of(answer)
    ]


def _who_saw(answer: Answer, owner: str, user: str | None, startup: str | None) -> str:
    """Return the owner of a surface's list, or who saw a similar one. Raises ValueError."""
    side, seen, other = ("user", user, startup) if "startups" in answer else ("startup", startup, user)
    if answer["surface"] in SURFACES and user is None and startup is None:
        return owner
    if answer["surface"] not in SURFACES and seen is not None and other is None:
        return seen
    got = [f"a list of {answer['surface']}", *(n for n, v in (("user", user), ("startup", startup)) if v is not None)]
    raise ValueError(
        f"expected a list of {', '.join(SURFACES)}, or a similar list and {side}, got {' and '.join(got)}; an event is "
        "about a person and a startup: name the user who saw similar startups (user), or the startup for which similar "
        "people were shown (startup)"
    )
