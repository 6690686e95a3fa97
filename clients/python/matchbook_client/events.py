"""Makes events from answers: with the owner on the right side, a new event id, and the answer's id and place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from matchbook_client.types import Event, EventType, Item, StartupList, UserList


def items_of(answer: StartupList | UserList) -> Sequence[Item]:
    """Return the items of either kind of list."""
    return answer["startups"] if "startups" in answer else answer["users"]


def event(
    kind: EventType,
    answer: StartupList | UserList,
    owner: str,
    item: str,
    *,
    offset: int = 0,
    at: datetime | None = None,
) -> Event:
    """Return what an owner did with an item of their answer.

    offset: of the request that gave the answer. at: with a zone; by default the time at which the reader takes it.
    Keep the event until the reader has taken it: the same event sent twice counts once.
    """
    user, startup = (owner, item) if "startups" in answer else (item, owner)
    made: Event = {"event_id": str(uuid4()), "user_id": user, "startup_id": startup, "type": kind}
    shown = [i["id"] for i in items_of(answer)]
    if answer["answer_id"] is not None:
        made["answer_id"] = answer["answer_id"]
        if item in shown:
            made["position"] = offset + shown.index(item) + 1
    if at is not None:
        made["at"] = at.isoformat()
    return made


def impressions(answer: StartupList | UserList, owner: str, *, offset: int = 0) -> list[Event]:
    """Return an impression of each item of an answer that was shown whole."""
    return [event("impression", answer, owner, item["id"], offset=offset) for item in items_of(answer)]
