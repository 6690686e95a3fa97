"""Enumerations with stable codes, and the fields of the platform's three tables.

A code is stored in lists, answer ids and Redis. Never change or reuse one; a new member takes the next free code.
Standard library only, because DAG files and the reader import this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from typing import Self

from models.words import folded


class Coded(StrEnum):
    """An enumeration member with the code that represents it in stored data."""

    code: int

    def __new__(cls, value: str, code: int = -1) -> Self:  # members have a code; look-ups do not
        return cls._made(value, code)

    @classmethod
    def _made(cls, value: str, code: int) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.code = value, code
        return member

    @classmethod
    def of_code(cls, code: int) -> Self:
        """Return the member with this code. Raises ValueError if there is none."""
        try:
            return cls.by_code()[code]
        except KeyError:
            raise ValueError(f"{code} is no code of {cls.__name__}") from None

    @classmethod
    @cache
    def by_code(cls) -> Mapping[int, Self]:
        """Return all members by code, ascending. Codes may have gaps."""
        return {m.code: m for m in sorted(cls, key=lambda m: m.code)}

    @classmethod
    def codes(cls) -> int:
        """Return the largest code plus one: the length of an array indexed by code."""
        return max(cls.by_code()) + 1


def words_by_code(members: Iterable[Coded]) -> list[str]:
    """Return the values at the index of their codes, "" in a gap."""
    known = {m.code: m.value for m in members}
    return [known.get(code, "") for code in range(max(known) + 1)]


class Entity(StrEnum):
    """What an id identifies."""

    USER = "user"
    STARTUP = "startup"


class Role(Coded):
    """A user's role on the platform. Users of other roles get no lists and are in none."""

    DEVELOPER = "developer", 0
    INVESTOR = "investor", 1

    @classmethod
    def of(cls, text: str) -> Role | None:
        """Return the role with this name, in any case of letters; None for any other text."""
        return _ROLES.get(folded(text))


_ROLES = {str(role): role for role in Role}


class ListKind(Coded):
    """A kind of lists in a release. The base of `Surface` and `Similar`, whose codes differ.

    value: its URL tail. code. owner, item: what its lists belong to and what is in them. roles: of its users.
    voice: the place of its texts in `Source.reason` and others: 0 startups for a user, 1 people for a founder,
    2 similar startups, 3 similar people.
    """

    owner: Entity
    item: Entity
    roles: tuple[Role, ...]
    voice: int

    @property
    def folder(self) -> str:
        """Return its folder in a release on disk."""
        return self.value.replace("/", "-")


class Surface(ListKind):
    """One of the four directions.

    value: its URL tail (F01-F04). code. Then the kind of its owners, and the role of its users, who are owners or
    items. Models are trained and evaluated for surfaces only.
    """

    role: Role

    def __new__(cls, value: str, code: int = -1, owner: Entity = Entity.USER, role: Role = Role.DEVELOPER) -> Self:
        member = cls._made(value, code)
        member.owner, member.role, member.roles = owner, role, (role,)
        member.voice, member.item = (0, Entity.STARTUP) if owner is Entity.USER else (1, Entity.USER)
        return member

    STARTUPS_FOR_DEVELOPER = "startups/for-developer", 0, Entity.USER, Role.DEVELOPER
    STARTUPS_FOR_INVESTOR = "startups/for-investor", 1, Entity.USER, Role.INVESTOR
    DEVELOPERS_FOR_STARTUP = "developers/for-startup", 2, Entity.STARTUP, Role.DEVELOPER
    INVESTORS_FOR_STARTUP = "investors/for-startup", 3, Entity.STARTUP, Role.INVESTOR


class Similar(ListKind):
    """Similar startups, and similar people: a developer gets developers, an investor investors.

    value: its URL tail. code. Then the kind of owners and items. No model is trained for them, and they are not padded
    with popular items.
    """

    def __new__(cls, value: str, code: int = -1, of: Entity = Entity.STARTUP) -> Self:
        member = cls._made(value, code)
        member.owner = member.item = of
        member.roles, member.voice = tuple(Role), 2 if of is Entity.STARTUP else 3
        return member

    STARTUPS = "startups/similar-to", 4, Entity.STARTUP
    USERS = "users/similar-to", 5, Entity.USER


#: Every kind of list of a release, by code.
LIST_KINDS: tuple[ListKind, ...] = (*Surface, *Similar)


def list_kind(name: str | int) -> ListKind:
    """Return the kind with this value or code. Raises ValueError."""
    for kind in LIST_KINDS:
        if name in (kind.value, kind.code):
            return kind
    raise ValueError(f"{name!r} is no kind of list; expected one of {', '.join(LIST_KINDS)}")


class Method(Coded):
    """What produced a list: a value of `route` and `method_used` (B12)."""

    CONTENT_BASED = "content_based", 0
    ALS = "als", 1
    ALS_REVERSE = "als_reverse", 2
    TWO_TOWER = "two_tower", 3
    ENSEMBLE = "ensemble", 4
    POPULAR = "popular", 5
    SIMILAR = "similar", 6


class Segment(Coded):
    """How much is known about an owner (B01-B05)."""

    COLD = "cold", 0
    WARM = "warm", 1
    HOT = "hot", 2


class EventType(Coded):
    """What people do: value, code, weight in training, explicit opinion or not, and verb of reasons.

    A type without a weight is accepted by the reader and never trained on. A pair's last explicit opinion decides its
    sign (R07). Only a dislike has a negative weight.
    done: the past tense with which reasons count such events; empty: not counted.
    Codes go up to 127, those of types with a verb to 15; the next free one is 10.
    """

    weight: float | None
    explicit: bool
    done: str

    def __new__(
        cls, value: str, code: int = -1, weight: float | None = None, explicit: bool = False, done: str = ""
    ) -> Self:
        member = cls._made(value, code)
        member.weight, member.explicit, member.done = weight, explicit, done
        return member

    VIEW = "view", 0, 0.5, False, "looked at"
    CLICK = "click", 1, 1.0, False, "clicked on"
    LIKE = "like", 2, 2.0, True, "liked"
    DISLIKE = "dislike", 3, -1.0, True
    FAVORITE = "favorite", 4, 2.5, True, "saved"
    APPLY = "apply", 5, 3.0, True, "applied to"
    INTEREST = "interest", 6, 3.5, True, "showed interest in"
    IMPRESSION = "impression", 7, None, False
    DISMISS = "dismiss", 8, None, True
    RETRACT = "retract", 9, None, False

    @property
    def trained(self) -> bool:
        """Return whether models train on it. Such interactions count for the route."""
        return self.weight is not None

    @property
    def positive(self) -> bool:
        """Return whether it is a positive of the ranking set (C41): every explicit opinion but a dislike."""
        return self.explicit and self.weight is not None and self.weight > 0

    def hides(self, views_are_seen: bool) -> bool:
        """Return whether it removes the pair from lists: interactions (views by setting) and opinions do."""
        return (self.trained or self.explicit) and (views_are_seen or self is not EventType.VIEW)


#: The event types of the platform, on which models train, by code.
INTERACTION_TYPES = tuple(sorted((t for t in EventType if t.trained), key=lambda t: t.code))
#: The event types that reasons count, the heaviest first.
COUNTED_TYPES = tuple(sorted((t for t in INTERACTION_TYPES if t.done), key=lambda t: -(t.weight or 0)))
#: Reasons never count fewer people: a smaller number could identify them.
PEOPLE_LEAST = 3


class FieldType(Enum):
    """What a field contains.

    Its SQL name, the PostgreSQL types that a view may use, and the valid cells of a data folder. A field that is not
    required may be blank.
    """

    sql: str
    accepted: tuple[str, ...]
    cell: str

    def __init__(self, sql: str, accepted: tuple[str, ...], cell: str) -> None:
        self.sql, self.accepted, self.cell = sql, accepted, cell

    ID = "uuid", ("uuid",), "an id, never the nil UUID"
    TEXT = "text", ("text", "character varying", "character"), "any text"
    ROLE = "text", ("text", "character varying", "character"), "a role, or any other word"
    EVENT_TYPE = "text", ("text", "character varying", "character"), "an event type that has a weight"
    PAST = "timestamptz", ("timestamp with time zone",), "an instant that has happened"
    EVENT_TIME = "timestamptz", ("timestamp with time zone",), "an instant that has happened, or only its day"
    INSTANT = "timestamptz", ("timestamp with time zone",), "an instant that may be planned"
    COUNT = "bigint", ("bigint", "integer", "smallint"), "a whole number from 0"


@dataclass(frozen=True)
class Tokens:
    """How a field's text becomes profile tokens.

    space: the namespace of whole values, empty for none. words: whether single words are tokens.
    A place is split at its commas and compared as a whole value only.
    """

    space: str = ""
    words: bool = True
    place: bool = False


def topic(space: str) -> Tokens:
    """Compare as a whole value and by word: the interest "games" matches the category "games_video"."""
    return Tokens(space)


def place(space: str) -> Tokens:
    """Compare only as a whole value: single words of a place or a funding round mean little."""
    return Tokens(space, words=False, place=True)


#: Compared by word.
PROSE = Tokens()


@dataclass(frozen=True)
class Facet:
    """A fact that is compared.

    code: in the reasons of stored lists, shared with `Standing`; never reused, 14 at most, the next free one is 7.
    reason: how a reason counts items of one value, with {label} and {noun}; empty if it gives none.
    diversity: whether it counts for the similarity of two items (C51).
    """

    code: int
    reason: str = ""
    diversity: bool = False


@dataclass(frozen=True)
class Field:
    """A column of a contract view, and everything derived from it.

    doc: its meaning for an integrator. required: may never be blank. stored: its column in our own platform's table, if
    named differently.
    filter: whether the API filters by it, which needs a facet. snapshot: the first snapshot format with it; None: in no
    snapshot.
    """

    name: str
    type: FieldType
    doc: str
    required: bool = False
    stored: str = ""
    tokens: Tokens | None = None
    facet: Facet | None = None
    filter: bool = False
    snapshot: int | None = 1

    @property
    def column(self) -> str:
        """Return its column in the table of our own platform."""
        return self.stored or self.name


@dataclass(frozen=True)
class Table:
    """A contract view. name: of its data file, without suffix. stored: the table of our own platform."""

    view: str
    name: str
    stored: str
    fields: tuple[Field, ...]

    @property
    def file(self) -> str:
        return f"{self.name}.csv"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields if f.required)

    @property
    def text(self) -> tuple[str, ...]:
        """Return the profile texts in a snapshot."""
        return tuple(f.name for f in self.fields if f.type is FieldType.TEXT and f.snapshot is not None)

    @property
    def facets(self) -> tuple[str, ...]:
        return tuple(facet for facet in FACETS if facet in self.names)


_NAME = "shown, never used to match"
_LOCATION = Field(
    "location",
    FieldType.TEXT,
    "such as `Bern, CH`",
    tokens=place("location"),
    facet=Facet(4, "{noun} in {label}"),
    filter=True,
)
USERS = Table(
    "matchbook_users",
    "users",
    "users",
    (
        Field("user_id", FieldType.ID, "never null, unique", required=True, stored="id"),
        Field(
            "role",
            FieldType.ROLE,
            "`developer` or `investor`, in any case of letters. Users of other roles get no lists and are in no list",
            required=True,
        ),
        Field(
            "created_at",
            FieldType.PAST,
            "null, or before `[export] earliest`: always existed. An earlier interaction of the user counts as proof "
            "that they existed",
        ),
        Field(
            "updated_at",
            FieldType.PAST,
            "last change of the profile; before `[export] earliest` it counts as null",
        ),
        Field("name", FieldType.TEXT, _NAME),
        Field("headline", FieldType.TEXT, "free text", tokens=PROSE),
        Field("skills", FieldType.TEXT, "separated by `;`", tokens=topic("tag")),
        Field("interests", FieldType.TEXT, "separated by `;`", tokens=topic("tag")),
        _LOCATION,
        Field(
            "opted_out_at",
            FieldType.INSTANT,
            "from then on the user gets popular lists only, is in no list, and is not used in training",
        ),
    ),
)
STARTUPS = Table(
    "matchbook_startups",
    "startups",
    "startups",
    (
        Field("startup_id", FieldType.ID, "never null, unique", required=True, stored="id"),
        Field("name", FieldType.TEXT, _NAME),
        Field("description", FieldType.TEXT, "free text", tokens=PROSE),
        Field(
            "category",
            FieldType.TEXT,
            "the market, such as `fintech`; one value. Case, width and outer spaces do not matter, here and in every "
            "field that the API filters by; the most frequent form is shown",
            tokens=topic("category"),
            facet=Facet(0, "{label} {noun}", diversity=True),
            filter=True,
        ),
        Field(
            "field",
            FieldType.TEXT,
            "a part of the market; one value",
            tokens=topic("field"),
            facet=Facet(1, "{noun} in the field {label}", diversity=True),
            filter=True,
        ),
        Field(
            "type",
            FieldType.TEXT,
            "such as `b2b`; one value",
            tokens=topic("type"),
            facet=Facet(2, "{noun} of type {label}", diversity=True),
            filter=True,
        ),
        Field("tags", FieldType.TEXT, "separated by `;`", tokens=topic("tag")),
        Field(
            "stage",
            FieldType.TEXT,
            "such as `seed`; one value",
            tokens=place("stage"),
            facet=Facet(3, "{noun} at stage {label}"),
            filter=True,
        ),
        _LOCATION,
        Field("founder_id", FieldType.ID, "a user who never gets this startup in a list"),
        Field("created_at", FieldType.PAST, "null: always existed. Used for recency"),
        Field("updated_at", FieldType.PAST, "last change of the record"),
        Field("withdrawn_at", FieldType.INSTANT, "from then on the startup is in no list"),
        Field(
            "views",
            FieldType.COUNT,
            "a running counter. Each export stores a reading of it. Until there are readings from before the "
            "validation split, view events count instead ([snapshots](snapshots.md))",
            snapshot=None,
        ),
    ),
)
INTERACTIONS = Table(
    "matchbook_interactions",
    "interactions",
    "user_interactions",
    (
        Field("user_id", FieldType.ID, "a row of `matchbook_users`", required=True),
        Field("startup_id", FieldType.ID, "a row of `matchbook_startups`", required=True),
        Field(
            "interaction_type",
            FieldType.EVENT_TYPE,
            f"{', '.join(f'`{t}`' for t in INTERACTION_TYPES)}, written exactly so",
            required=True,
        ),
        Field("occurred_at", FieldType.EVENT_TIME, "when", required=True, stored="created_at"),
    ),
)
TABLES = (USERS, STARTUPS, INTERACTIONS)
#: The tables of entities with an id.
TABLE_OF: Mapping[Entity, Table] = {Entity.USER: USERS, Entity.STARTUP: STARTUPS}


class Standing(Coded):
    """A fact about an item alone that is a reason.

    Value, code in the reasons of stored lists (5 to 7), shared with `Facet`, and the reason's text for people and for
    startups.
    """

    words: tuple[str, str]

    def __new__(cls, value: str, code: int = -1, words: tuple[str, str] = ("", "")) -> Self:
        member = cls._made(value, code)
        member.words = words
        return member

    NEW = "new", 5, ("new on the platform", "new on the platform")
    POPULAR = "popular", 6, ("popular on the platform", "active on the platform")


def _by_code() -> dict[str, Field]:
    """Return every field with a facet, of either table, in the order of the facets' codes."""
    found = {f.name: f for table in (USERS, STARTUPS) for f in table.fields if f.facet}
    return dict(sorted(found.items(), key=lambda named: named[1].facet.code if named[1].facet else -1))


_FACETS = {name: f.facet for name, f in _by_code().items() if f.facet}
#: Facts that are compared for reasons, diversity and filters. Both kinds have the same names, blank where foreign.
FACETS = tuple(_FACETS)
DIVERSITY_FACETS = tuple(name for name, facet in _FACETS.items() if facet.diversity)
#: The fields that the API filters by.
FILTERS = tuple(name for name, field in _by_code().items() if field.filter)
#: By facet: how a reason counts the items of one value. Facets without a reason are left out.
FACET_REASONS: Mapping[str, str] = {name: facet.reason for name, facet in _FACETS.items() if facet.reason}
#: Codes of reasons besides sources: facets shared with the owner, and standings.
REASONS: Mapping[str, int] = {name: _FACETS[name].code for name in FACET_REASONS} | {s.value: s.code for s in Standing}
