"""The closed lists of words, each with its stable code: surfaces, methods, segments, types of events.

A code is stored in lists, answer ids and Redis. It is never changed and never used again; a new member takes the next
free one. Standard library only: DAG files and the reader import this.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from models.nouns.words import folded


class Coded(StrEnum):
    """A word with the code that stands for it in what is stored."""

    code: int

    def __new__(cls, value: str, code: int = -1) -> Self:  # every member gives one; a look-up gives none
        member = str.__new__(cls, value)
        member._value_ = value
        member.code = code
        return member

    @classmethod
    def of_code(cls, code: int) -> Self:
        """The member of a code. Raises ValueError where none has it."""
        for member in cls:
            if member.code == code:
                return member
        raise ValueError(f"{code} is no code of {cls.__name__}")


class Entity(StrEnum):
    """What an id names."""

    USER = "user"
    STARTUP = "startup"


class Role(Coded):
    """What a user is on the platform. People of any other role own no list and stand in none."""

    DEVELOPER = "developer", 0
    INVESTOR = "investor", 1

    @classmethod
    def of(cls, text: str) -> Role | None:
        """The role that a platform's word means, however it is written; None for any other word."""
        return _ROLES.get(folded(text))


_ROLES = {str(role): role for role in Role}


class Surface(Coded):
    """One of the four directions; the value is its URL tail (F01-F04)."""

    STARTUPS_FOR_DEVELOPER = "startups/for-developer", 0
    STARTUPS_FOR_INVESTOR = "startups/for-investor", 1
    DEVELOPERS_FOR_STARTUP = "developers/for-startup", 2
    INVESTORS_FOR_STARTUP = "investors/for-startup", 3

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


class Method(Coded):
    """What produced a list; what `route` and `method_used` say (B12)."""

    CONTENT_BASED = "content_based", 0
    ALS = "als", 1
    ALS_REVERSE = "als_reverse", 2
    TWO_TOWER = "two_tower", 3
    ENSEMBLE = "ensemble", 4
    POPULAR = "popular", 5


class Segment(Coded):
    """How much is known of an owner (B01-B05)."""

    COLD = "cold", 0
    WARM = "warm", 1
    HOT = "hot", 2


class InteractionKind(Coded):
    """The seven event types of the platform."""

    VIEW = "view", 0
    CLICK = "click", 1
    LIKE = "like", 2
    DISLIKE = "dislike", 3
    FAVORITE = "favorite", 4
    APPLY = "apply", 5
    INTEREST = "interest", 6


class EventKind(Coded):
    """What the reader is told of: the platform's seven types, with the codes of InteractionKind, what was shown, what
    was waved away (those two filter and measure only), and that what was posted of a pair counts no more."""

    VIEW = "view", 0
    CLICK = "click", 1
    LIKE = "like", 2
    DISLIKE = "dislike", 3
    FAVORITE = "favorite", 4
    APPLY = "apply", 5
    INTEREST = "interest", 6
    IMPRESSION = "impression", 7
    DISMISS = "dismiss", 8
    RETRACT = "retract", 9

    def hides(self, views_are_seen: bool) -> bool:
        """Whether the two are not shown to each other again."""
        silent = (EventKind.IMPRESSION, EventKind.RETRACT)
        return self not in silent and (views_are_seen or self is not EventKind.VIEW)


#: An explicit opinion; the last one of a pair decides its sign (R07).
EXPLICIT_KINDS = frozenset(set(InteractionKind) - {InteractionKind.VIEW, InteractionKind.CLICK})

#: The positives of the ranker set (C41): every explicit opinion but a dislike.
POSITIVE_KINDS = frozenset(EXPLICIT_KINDS - {InteractionKind.DISLIKE})
