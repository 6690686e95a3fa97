"""The closed lists of words: surfaces, methods, sources, segments, interaction kinds and their weights."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from models.nouns.words import folded


class Entity(StrEnum):
    """What an id names."""

    USER = "user"
    STARTUP = "startup"


class Role(StrEnum):
    """What a user is on the platform. People of any other role own no list and stand in none."""

    DEVELOPER = "developer"
    INVESTOR = "investor"

    @classmethod
    def of(cls, text: str) -> Role | None:
        """The role that a platform's word means, however it is written; None for any other word."""
        return _ROLES.get(folded(text))


_ROLES = {role.value: role for role in Role}


class Surface(StrEnum):
    """One of the four directions; the value is its URL tail (F01-F04)."""

    STARTUPS_FOR_DEVELOPER = "startups/for-developer"
    STARTUPS_FOR_INVESTOR = "startups/for-investor"
    DEVELOPERS_FOR_STARTUP = "developers/for-startup"
    INVESTORS_FOR_STARTUP = "investors/for-startup"

    @property
    def folder(self) -> str:
        """The name of its folder in a release on disk."""
        return self.value.replace("/", "-")

    @property
    def role(self) -> Role:
        """The role of the people on this surface, be they owners or items."""
        return Role.DEVELOPER if "developer" in self.value else Role.INVESTOR

    @property
    def owner(self) -> Entity:
        """What a list is made for."""
        return Entity.USER if self.value.startswith("startups/") else Entity.STARTUP

    @property
    def item(self) -> Entity:
        """What stands in a list."""
        return Entity.STARTUP if self.owner is Entity.USER else Entity.USER


class Method(StrEnum):
    """What produced a list; what `route` and `method_used` say (B12). Stored by position: append only."""

    CONTENT_BASED = "content_based"
    ALS = "als"
    ALS_REVERSE = "als_reverse"
    TWO_TOWER = "two_tower"
    ENSEMBLE = "ensemble"
    POPULAR = "popular"


class Source(StrEnum):
    """What proposed a candidate. Stored as the bit `1 << position`: append only, eight at most."""

    CONTENT_BASED = "content_based"
    ALS = "als"
    ALS_REVERSE = "als_reverse"
    TWO_TOWER = "two_tower"
    ITEM_NEIGHBOURS = "item_neighbours"
    POPULAR = "popular"
    GRAPH_FILTER = "graph_filter"

    @property
    def bit(self) -> int:
        return 1 << list(Source).index(self)


class Segment(StrEnum):
    """How much is known of an owner (B01-B05)."""

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


class Kind(StrEnum):
    """A kind of event. Stored by position: append only."""

    @property
    def code(self) -> int:
        return list(type(self)).index(self)


class InteractionKind(Kind):
    """The seven event types of the platform."""

    VIEW = "view"
    CLICK = "click"
    LIKE = "like"
    DISLIKE = "dislike"
    FAVORITE = "favorite"
    APPLY = "apply"
    INTEREST = "interest"


class EventKind(Kind):
    """What the reader is told of: the platform's seven types, with the codes of InteractionKind, what was shown, what
    was waved away (those two filter and measure only), and that what was posted of a pair counts no more."""

    VIEW = "view"
    CLICK = "click"
    LIKE = "like"
    DISLIKE = "dislike"
    FAVORITE = "favorite"
    APPLY = "apply"
    INTEREST = "interest"
    IMPRESSION = "impression"
    DISMISS = "dismiss"
    RETRACT = "retract"

    def hides(self, views_are_seen: bool) -> bool:
        """Whether the two are not shown to each other again."""
        silent = (EventKind.IMPRESSION, EventKind.RETRACT)
        return self not in silent and (views_are_seen or self is not EventKind.VIEW)


#: Weight of one event by `InteractionKind.code` (C01-C07).
KIND_WEIGHTS = np.array([0.5, 1.0, 2.0, -1.0, 2.5, 3.0, 3.5], dtype=np.float32)

#: An explicit opinion; the last one of a pair decides its sign (R07).
EXPLICIT_KINDS = frozenset(set(InteractionKind) - {InteractionKind.VIEW, InteractionKind.CLICK})

#: The positives of the ranker set (C41): every explicit opinion but a dislike.
POSITIVE_KINDS = frozenset(EXPLICIT_KINDS - {InteractionKind.DISLIKE})
