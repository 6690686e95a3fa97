"""The closed lists of words, each with its stable code: surfaces, methods, segments, types of events.

A code is stored in lists, answer ids and Redis. It is never changed and never used again; a new member takes the next
free one. Standard library only: DAG files and the reader import this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Self

from models.words import folded


class Coded(StrEnum):
    """A word with the code that stands for it in what is stored."""

    code: int

    def __new__(cls, value: str, code: int = -1) -> Self:  # every member gives one; a look-up gives none
        return cls._made(value, code)

    @classmethod
    def _made(cls, value: str, code: int) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.code = value, code
        return member

    @classmethod
    def of_code(cls, code: int) -> Self:
        """The member of a code. Raises ValueError where none has it."""
        try:
            return cls.by_code()[code]
        except KeyError:
            raise ValueError(f"{code} is no code of {cls.__name__}") from None

    @classmethod
    @cache
    def by_code(cls) -> Mapping[int, Self]:
        """Every member by its code, ascending. Codes may have gaps."""
        return {m.code: m for m in sorted(cls, key=lambda m: m.code)}

    @classmethod
    def codes(cls) -> int:
        """The length of an array with a place for every code: the largest code and one."""
        return max(cls.by_code()) + 1


def words_by_code(members: Iterable[Coded]) -> list[str]:
    """The values at the places of their codes, "" in a gap."""
    known = {m.code: m.value for m in members}
    return [known.get(code, "") for code in range(max(known) + 1)]


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
    """One of the four directions: value (its URL tail, F01-F04), code, whom a list is made for, the role of the people
    on it, be they owners or items."""

    owner: Entity
    role: Role

    def __new__(cls, value: str, code: int = -1, owner: Entity = Entity.USER, role: Role = Role.DEVELOPER) -> Self:
        member = cls._made(value, code)
        member.owner, member.role = owner, role
        return member

    STARTUPS_FOR_DEVELOPER = "startups/for-developer", 0, Entity.USER, Role.DEVELOPER
    STARTUPS_FOR_INVESTOR = "startups/for-investor", 1, Entity.USER, Role.INVESTOR
    DEVELOPERS_FOR_STARTUP = "developers/for-startup", 2, Entity.STARTUP, Role.DEVELOPER
    INVESTORS_FOR_STARTUP = "investors/for-startup", 3, Entity.STARTUP, Role.INVESTOR

    @property
    def folder(self) -> str:
        """The name of its folder in a release on disk."""
        return self.value.replace("/", "-")

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


class EventType(Coded):
    """What people do: value, code, weight in training, and whether it is an explicit opinion.

    A type without a weight is accepted by the reader and never trained on. The last explicit opinion of a pair decides
    its sign (R07); the one negative weight is a dislike's. Codes up to 127; the next free one is 10.
    """

    weight: float | None
    explicit: bool

    def __new__(cls, value: str, code: int = -1, weight: float | None = None, explicit: bool = False) -> Self:
        member = cls._made(value, code)
        member.weight, member.explicit = weight, explicit
        return member

    VIEW = "view", 0, 0.5, False
    CLICK = "click", 1, 1.0, False
    LIKE = "like", 2, 2.0, True
    DISLIKE = "dislike", 3, -1.0, True
    FAVORITE = "favorite", 4, 2.5, True
    APPLY = "apply", 5, 3.0, True
    INTEREST = "interest", 6, 3.5, True
    IMPRESSION = "impression", 7, None, False
    DISMISS = "dismiss", 8, None, True
    RETRACT = "retract", 9, None, False

    @property
    def trained(self) -> bool:
        """Whether it is an interaction: models learn from it and it counts for the route."""
        return self.weight is not None

    @property
    def positive(self) -> bool:
        """Whether it is a positive of the ranker set (C41): every explicit opinion but a dislike."""
        return self.explicit and self.weight is not None and self.weight > 0

    def hides(self, views_are_seen: bool) -> bool:
        """Whether the two are not shown to each other again: interactions and explicit opinions do that."""
        return (self.trained or self.explicit) and (views_are_seen or self is not EventType.VIEW)


#: The event types of the platform, which models learn from, by code.
INTERACTION_TYPES = tuple(sorted((t for t in EventType if t.trained), key=lambda t: t.code))
