"""Types of requests and answers. Made by `make clients` from /openapi.json: do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict, final

#: Query parameters whose values are separated by commas.
JOINED = ("exclude",)

#: Surfaces: their lists have an owner who sees them.
SURFACES = ("startups/for-developer", "startups/for-investor", "developers/for-startup", "investors/for-startup")

Method = Literal["content_based", "als", "als_reverse", "two_tower", "ensemble", "popular", "similar"]
"""What made a list."""
Source = Literal["content_based", "als", "als_reverse", "two_tower", "item_neighbours", "popular", "graph_filter"]
"""What proposed an item."""
EventType = Literal[
    "view", "click", "like", "dislike", "favorite", "apply", "interest", "impression", "dismiss", "retract"
]


@final
class Item(TypedDict):
    id: str
    score: float
    reasons: Sequence[str]
    """Sentences, the most specific first."""
    sources: Sequence[Source]


@final
class StartupList(TypedDict):
    startups: Sequence[Item]
    scores: Mapping[str, float]
    """Of the items, by id."""
    surface: Literal["startups/for-developer", "startups/for-investor"]
    method_used: Method
    route: Method
    model_version: str
    interaction_count: int
    reranked: bool
    ranker: Literal["learned", "mlp", "stacked", "rules"] | None
    ranker_version: str | None
    generated_at: str
    release: str
    """Of the whole answer."""
    source: Literal["cache", "live"]
    stale: bool
    """The release is old."""
    degraded: bool
    """A server or model failed; this is the best available list."""
    known: bool
    """Whether the platform knows the owner."""
    total: int
    """Ranks after filtering, before paging."""
    short: bool
    """Fewer ranks than asked for; `reason` says why."""
    reason: str | None
    answer_id: str | None
    """Send it back with the events that follow from this answer."""
    experiment: str | None
    arm: str | None


@final
class UserList(TypedDict):
    users: Sequence[Item]
    scores: Mapping[str, float]
    """Of the items, by id."""
    surface: Literal["developers/for-startup", "investors/for-startup"]
    method_used: Method
    route: Method
    model_version: str
    interaction_count: int
    reranked: bool
    ranker: Literal["learned", "mlp", "stacked", "rules"] | None
    ranker_version: str | None
    generated_at: str
    release: str
    """Of the whole answer."""
    source: Literal["cache", "live"]
    stale: bool
    """The release is old."""
    degraded: bool
    """A server or model failed; this is the best available list."""
    known: bool
    """Whether the platform knows the owner."""
    total: int
    """Ranks after filtering, before paging."""
    short: bool
    """Fewer ranks than asked for; `reason` says why."""
    reason: str | None
    answer_id: str | None
    """Send it back with the events that follow from this answer."""
    experiment: str | None
    arm: str | None


@final
class SimilarStartupList(TypedDict):
    startups: Sequence[Item]
    scores: Mapping[str, float]
    """Of the items, by id."""
    surface: Literal["startups/similar-to"]
    method_used: Method
    route: Method
    model_version: str
    interaction_count: int
    reranked: bool
    ranker: Literal["learned", "mlp", "stacked", "rules"] | None
    ranker_version: str | None
    generated_at: str
    release: str
    """Of the whole answer."""
    source: Literal["cache", "live"]
    stale: bool
    """The release is old."""
    degraded: bool
    """A server or model failed; this is the best available list."""
    known: bool
    """Whether the platform knows the owner."""
    total: int
    """Ranks after filtering, before paging."""
    short: bool
    """Fewer ranks than asked for; `reason` says why."""
    reason: str | None
    answer_id: str | None
    """Send it back with the events that follow from this answer."""
    experiment: str | None
    arm: str | None


@final
class SimilarUserList(TypedDict):
    users: Sequence[Item]
    scores: Mapping[str, float]
    """Of the items, by id."""
    surface: Literal["users/similar-to"]
    method_used: Method
    route: Method
    model_version: str
    interaction_count: int
    reranked: bool
    ranker: Literal["learned", "mlp", "stacked", "rules"] | None
    ranker_version: str | None
    generated_at: str
    release: str
    """Of the whole answer."""
    source: Literal["cache", "live"]
    stale: bool
    """The release is old."""
    degraded: bool
    """A server or model failed; this is the best available list."""
    known: bool
    """Whether the platform knows the owner."""
    total: int
    """Ranks after filtering, before paging."""
    short: bool
    """Fewer ranks than asked for; `reason` says why."""
    reason: str | None
    answer_id: str | None
    """Send it back with the events that follow from this answer."""
    experiment: str | None
    arm: str | None


@final
class StartupLists(TypedDict):
    lists: Mapping[str, StartupList]
    """By the owner's id."""


@final
class UserLists(TypedDict):
    lists: Mapping[str, UserList]
    """By the owner's id."""


@final
class SimilarStartupLists(TypedDict):
    lists: Mapping[str, SimilarStartupList]
    """By the owner's id."""


@final
class SimilarUserLists(TypedDict):
    lists: Mapping[str, SimilarUserList]
    """By the owner's id."""


@final
class StartupListRow(TypedDict):
    id: str
    type: Literal["view", "click", "like", "favorite", "apply", "interest"]
    at: str
    list: SimilarStartupList


@final
class StartupListRows(TypedDict):
    because: Sequence[StartupListRow]
    release: str
    degraded: bool
    reason: str | None


@final
class UserListRow(TypedDict):
    id: str
    type: Literal["view", "click", "like", "favorite", "apply", "interest"]
    at: str
    list: SimilarUserList


@final
class UserListRows(TypedDict):
    because: Sequence[UserListRow]
    release: str
    degraded: bool
    reason: str | None


@final
class Event(TypedDict):
    event_id: str
    """Your choice; an id counts once, so the same events may be sent again."""
    user_id: str
    startup_id: str
    type: EventType
    at: NotRequired[str | None]
    """Since 1970, not in the future by the clock of Redis; default: the time of receipt."""
    answer_id: NotRequired[str | None]
    """The answer_id of the answer that showed the item."""
    position: NotRequired[int | None]
    """The place in that list, from 1."""


@final
class Accepted(TypedDict):
    accepted: int


@final
class ErrorDetail(TypedDict):
    code: str
    expected: str
    got: str
    hint: str


class StartupsForDeveloperBecauseQuery(TypedDict, total=False):
    rows: int
    """Items that the owner engaged with."""
    limit: int
    """Places wanted."""
    offset: int
    """Places to skip."""
    category: Sequence[str]
    """Only items of this category, in any case; repeat it to allow several."""
    field: Sequence[str]
    """Only items of this field, in any case; repeat it to allow several."""
    type: Sequence[str]
    """Only items of this type, in any case; repeat it to allow several."""
    stage: Sequence[str]
    """Only items of this stage, in any case; repeat it to allow several."""
    location: Sequence[str]
    """Only items of this location, in any case; repeat it to allow several."""
    exclude: Sequence[str]
    """Up to 200 ids to leave out, separated by commas."""


class Query(TypedDict, total=False):
    limit: int
    """Places wanted."""
    offset: int
    """Places to skip."""
    category: Sequence[str]
    """Only items of this category, in any case; repeat it to allow several."""
    field: Sequence[str]
    """Only items of this field, in any case; repeat it to allow several."""
    type: Sequence[str]
    """Only items of this type, in any case; repeat it to allow several."""
    stage: Sequence[str]
    """Only items of this stage, in any case; repeat it to allow several."""
    location: Sequence[str]
    """Only items of this location, in any case; repeat it to allow several."""
    exclude: Sequence[str]
    """Up to 200 ids to leave out, separated by commas."""
