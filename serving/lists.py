"""Find one owner's list in the held release, else compute it live, else use the popular list.

An answer never mixes two releases.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import numpy as np

from models.data.batch import MASK
from models.data.entities import IdMap
from models.errors import MatchbookError, ReleaseIncomplete, ServiceError
from models.experiments import Arm, Experiment
from models.lists.reasons import REASON
from models.lists.redis_format import StoredList, TrendingList, decode_list
from models.popularity import POPULAR
from models.routing import route, route_may_change
from models.schema import Entity, ListKind, Method, Similar, Surface
from models.words import with_article
from serving.clients.redis import LISTS, Cache, Found
from serving.filters import Hidden, met_places, packed_items, without
from serving.releases import HeldRelease, Releases, instant

log = logging.getLogger("matchbook.reader")

OPEN = "open"  # the caller if the reader needs no keys
UNCOUNTED = ""  # the caller of a request that is counted already
#: Reasons to hide an item from everyone.
HIDDEN = {Entity.STARTUP: "withdrawn", Entity.USER: "opted out"}
NOBODY = StoredList(
    Method.POPULAR,
    Method.POPULAR,
    0,
    0,
    0,
    np.zeros(0, np.uint32),
    np.zeros(0, np.float32),
    np.zeros(0, MASK),
    np.zeros(0, REASON),
)
NOTHING = replace(NOBODY, method=Method.SIMILAR, route=Method.SIMILAR)


@dataclass(frozen=True, eq=False)
class Answer:
    """A list and the facts about it.

    owner: its id, empty for popular and trending lists. source: "cache" if published, "live" if computed.
    trouble: the error on the way, or empty. reason: why the list is empty, or empty.
    met, hidden: numbers of removed places: the owner acted on the item since, or the item is hidden.
    arm: the experiment and arm of the owner.
    """

    surface: ListKind
    owner: str
    held: HeldRelease
    listing: StoredList
    source: str
    known: bool
    generated_at: str
    trouble: str = ""
    reason: str = ""
    met: int = 0
    hidden: int = 0
    arm: tuple[Experiment, Arm] | None = None


@dataclass(frozen=True, eq=False)
class Asked:
    """What Redis holds of a release for one owner. count: the caller's requests in this minute."""

    held: HeldRelease
    found: Found
    count: int


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """A result of the live fallback. listing: None if the owner is unknown or has another role."""

    listing: StoredList | None
    known: bool
    generated_at: str


class Live(Protocol):
    """Defines the interface of the live fallback."""

    def answers(
        self, held: HeldRelease, kind: ListKind, owners: Sequence[str], met: Mapping[str, int]
    ) -> tuple[Mapping[str, LiveAnswer], str]:
        """Return the lists computed within the budget, and an error text, empty on success.

        met: upper bound, by owner, of the items acted on since the build.
        """
        ...

    def count(self, held: HeldRelease, kind: ListKind, owner: str) -> int:
        """Return the best known interaction count of an owner without a live list. Reads no database."""
        ...


class Files(Protocol):
    """Defines the interface of the stored files of a release."""

    def list_of(self, held: HeldRelease, kind: ListKind, owner: str) -> StoredList | None:
        """Return an owner's published list, or None. Raises ReleaseIncomplete."""
        ...


class ListReader:
    """Finds lists. Each call reads one release. A hit needs one round trip to Redis and no database.

    Hidden items, and items that the owner acted on since the build, are removed from every list. Each method raises
    ReleaseNotFound before the first release and TooManyRequests above the rate limit.
    """

    def __init__(self, cache: Cache, releases: Releases, live: Live, hidden: Hidden, files: Files) -> None:
        self._cache, self.releases, self._live = cache, releases, live
        self.hidden, self._files = hidden, files

    def one(self, kind: ListKind, owner: str, caller: str = OPEN, asked: Asked | None = None) -> Answer:
        """Return the list of one owner. asked: the answer of Redis, if it was already asked."""
        return self.many(kind, [owner], caller, asked)[0]

    def many(
        self, kind: ListKind, owners: Sequence[str], caller: str = OPEN, asked: Asked | None = None
    ) -> list[Answer]:
        """Return the lists of several owners, all of one release, in the given order."""
        gone = self.hidden.erased(owners)
        if not gone:
            return self._many(kind, owners, caller, asked)
        rest = [o for o in owners if o not in gone]
        if not rest:
            self._cache.admit(caller, None if asked is None else asked.count)
        listed = {a.owner: a for a in self._many(kind, rest, caller, asked)} if rest else {}
        return [listed[o] if o in listed else self._erased(kind, o) for o in owners]

    def hit(self, kind: ListKind, owner: str, asked: Asked) -> Answer | None:
        """Return the answer if the stored list is enough. None if `one` must find another list."""
        held, found = asked.held, asked.found
        impersonal = kind.owner is Entity.USER and self.hidden.holds(Entity.USER, owner)
        if found.stored is None or found.since is None or found.trouble or impersonal:
            return None
        try:
            listing = _checked(decode_list(found.stored), len(held.items[kind.item].ids))
        except ReleaseIncomplete:
            return None
        met = found.met(held.known_until_us(listing.part)) if found.since else 0
        if met and _may_change(held, kind, owner, listing, met):
            return None
        made, arm = held.generated_at(listing.part), held.arm(kind, owner)
        answer = Answer(kind, owner, held, listing, "cache", True, made, self.releases.trouble, arm=arm)
        return self._filtered(answer, found)

    def _erased(self, kind: ListKind, owner: str) -> Answer:
        """Return the answer for an unknown id, without a lookup and without storing anything."""
        held = self.releases.held
        return self._filtered(self._popular_for(held, kind, owner, False, 0, self.releases.trouble))

    def _many(self, kind: ListKind, owners: Sequence[str], caller: str, asked: Asked | None) -> list[Answer]:
        held = self.releases.held if asked is None else asked.held
        found, trouble = self._found(held, kind, owners, caller, asked)
        stored, broken = _decoded(held, kind, found)
        trouble = trouble or self.releases.trouble
        impersonal = {o for o in owners if kind.owner is Entity.USER and self.hidden.holds(Entity.USER, o)}
        answers = {
            o: Answer(kind, o, held, listing, "cache", True, held.generated_at(listing.part), trouble)
            for o, listing in stored.items()
            if o not in impersonal or listing.impersonal
        }
        if isinstance(kind, Similar):
            answers |= {o: _nothing_for(held, kind, o, trouble) for o in impersonal}
        missing, met = [o for o in owners if o not in answers], self._met(held, stored, found)
        if met:
            answers |= self._outgrown(held, kind, {o: a for o, a in answers.items() if o not in impersonal}, met)
        if missing:
            answers |= self._missing(held, kind, missing, impersonal, met, trouble or broken)
        answered = [self._filtered(answers[o], found.get(o)) for o in owners]
        if not held.experiments:
            return answered
        return [
            a if a.owner in impersonal or not a.known or a.reason else replace(a, arm=held.arm(kind, a.owner))
            for a in answered
        ]

    @staticmethod
    def _met(held: HeldRelease, stored: Mapping[str, StoredList], found: Mapping[str, Found]) -> dict[str, int]:
        """Count the items that each owner acted on since their stored list was made. Zero counts are omitted."""
        from_us = {
            o: held.known_until_us(stored[o].part if o in stored else None) for o, f in found.items() if f.since != []
        }
        return {o: n for o, us in from_us.items() if (n := found[o].met(us))}

    def stored(self, held: HeldRelease, kind: ListKind, owner: str) -> StoredList | None:
        """Return an owner's published list, or None. Raises ServiceError, ReleaseIncomplete."""
        value = self._cache.field(self._cache.keys.lists(held.id, kind), UUID(owner).bytes)
        return None if value is None else decode_list(value)

    def popular(self, surface: Surface, caller: str = OPEN) -> Answer:
        """Return the popular list of a surface, which the process holds (F06)."""
        self._cache.admit(caller)
        return self._filtered(self._popular(surface))

    def trending(self, surface: Surface, caller: str = OPEN) -> Answer:
        """Return the trending list of a surface, or the popular list if it is empty or Redis is down (F06)."""
        self._cache.admit(caller)
        popular = self._popular(surface)
        try:
            value = self._cache.get(self._cache.keys.trending(surface), LISTS)
            found = TrendingList.decode(value) if value else None
        except MatchbookError as error:
            return self._filtered(replace(popular, trouble=str(error)))
        if found is None or not len(found.ids):
            return self._filtered(popular)
        listing = _listed(found, popular.held.items[surface.item].ids)
        return self._filtered(replace(popular, listing=listing, generated_at=instant(found.made_us)))

    def _popular(self, surface: Surface) -> Answer:
        held = self.releases.held
        listing = replace(held.popular.get(surface, NOBODY), route=Method.POPULAR)
        made = held.generated_at(listing.part)
        return Answer(surface, "", held, listing, "cache", False, made, self.releases.trouble)

    def _found(
        self, held: HeldRelease, kind: ListKind, owners: Sequence[str], caller: str, asked: Asked | None
    ) -> tuple[dict[str, Found], str]:
        """Return what Redis holds for these owners, and an error text, empty on success."""
        if asked is not None:
            self._cache.admit(caller, asked.count)
            return dict.fromkeys(owners, asked.found), ""
        try:
            return dict(zip(owners, self._cache.hits(caller, held.id, kind, owners), strict=True)), ""
        except ServiceError as error:
            return {}, str(error)

    def _filtered(self, answer: Answer, found: Found | None = None) -> Answer:
        """Return the answer without hidden items and items that the owner acted on since the build."""
        listing, entity = answer.listing, answer.surface.item
        mask = self.hidden.mask(answer.held, entity)
        personal = found if isinstance(answer.surface, Surface) else None  # similar lists do not depend on what was met
        since, trouble = self._since(answer, personal) if personal is not None else ((), "")
        if trouble:
            answer = replace(answer, trouble=answer.trouble or trouble)
        if mask is None and not since:
            return answer
        hidden = np.zeros(len(listing.item), bool) if mask is None else mask[listing.item]
        met = met_places(listing, answer.held.items[entity].ids, since) & ~hidden
        if not (hidden | met).any():
            return answer
        return replace(answer, listing=without(listing, hidden | met), met=int(met.sum()), hidden=int(hidden.sum()))

    def _since(self, answer: Answer, found: Found) -> tuple[Sequence[bytes], str]:
        """Return the items that the owner acted on since the build, and an error text, empty on success.

        If one read cannot hold them, a second round trip checks only the items of this list.
        """
        if found.since is not None:
            return found.since, found.trouble
        items = packed_items(answer.listing, answer.held.items[answer.surface.item].ids)
        try:
            met = self._cache.fields(self._cache.keys.since(answer.surface.owner, answer.owner), items)
        except ServiceError as error:
            return (), str(error)
        return [item for item, value in zip(items, met, strict=True) if value is not None], ""

    def _outgrown(
        self, held: HeldRelease, kind: ListKind, stored: Mapping[str, Answer], met: Mapping[str, int]
    ) -> dict[str, Answer]:
        """Return live lists for owners whose route may have changed, or their stored list, marked, if too late."""
        behind = [o for o, a in stored.items() if _may_change(held, kind, o, a.listing, met.get(o, 0))]
        live, trouble = self._live.answers(held, kind, behind, met)
        answers = {o: replace(stored[o], trouble=stored[o].trouble or trouble) for o in behind}
        for o, found in live.items():
            if found.listing is not None:
                answers[o] = self._from_live(held, kind, o, found, stored[o].trouble)
        return answers

    def _missing(
        self,
        held: HeldRelease,
        kind: ListKind,
        owners: Sequence[str],
        impersonal: AbstractSet[str],
        met: Mapping[str, int],
        trouble: str,
    ) -> dict[str, Answer]:
        """Answer owners without a stored list: other role, new since the build, expired, or Redis is down.

        impersonal: users who opted out. Their stored personal list must not be served (R23).
        """
        places = held.items[kind.owner].ids.rows_of(owners).tolist()
        rows = dict(zip(owners, places, strict=True))
        others = [o for o, row in rows.items() if row >= 0 and self._of_another_role(held, kind, row)]
        expected = kind in held.release.kinds and any(
            row >= 0 and o not in others and o not in impersonal for o, row in rows.items()
        )
        if expected and not trouble:
            self.releases.look_soon()  # an expected list is missing: the release may be retired or expired
            trouble = f"lists of release {held.id} are missing from Redis"
        live, live_trouble = self._live.answers(held, kind, owners, met)
        trouble = trouble or live_trouble
        answers = {o: self._other_role(held, kind, o, trouble) for o in others if o not in live}
        for o in owners:
            if o in live and (o not in impersonal or _is_impersonal(live[o])):
                answers[o] = self._from_live(held, kind, o, live[o], trouble)
            elif o not in answers:
                late = trouble or ("" if o in live else "no live list in time")
                stored = None if o in impersonal else self._from_files(held, kind, o)
                if stored is None:
                    count = self._live.count(held, kind, o)
                    answers[o] = self._popular_for(held, kind, o, rows[o] >= 0, count, late)
                else:
                    answers[o] = Answer(kind, o, held, stored, "cache", True, held.generated_at(stored.part), late)
        return answers

    def _from_files(self, held: HeldRelease, kind: ListKind, owner: str) -> StoredList | None:
        """Read the owner's published list from disk. None while the hidden ids are unknown."""
        try:
            return self._files.list_of(held, kind, owner) if self.hidden.known else None
        except (ReleaseIncomplete, OSError) as error:
            log.error("a stored list of release %s cannot be read: %s", held.id, error)
            return None

    def _from_live(self, held: HeldRelease, kind: ListKind, owner: str, found: LiveAnswer, trouble: str) -> Answer:
        if found.listing is not None:
            return Answer(kind, owner, held, found.listing, "live", True, found.generated_at, trouble)
        if found.known:
            return self._other_role(held, kind, owner, trouble)
        return self._popular_for(held, kind, owner, False, 0, trouble)

    def _popular_for(
        self, held: HeldRelease, kind: ListKind, owner: str, known: bool, count: int, trouble: str
    ) -> Answer:
        """Return the popular list with the route that the count would give. No popular list replaces similar ones."""
        if not isinstance(kind, Surface):
            return _nothing_for(held, kind, owner, trouble, known, count)
        counts = np.array([count], np.int32)
        routed = Method.of_code(int(route(kind, counts, held.settings_of(kind, owner)).method[0]))
        listing = replace(held.popular.get(kind, NOBODY), route=routed, count=count)
        return Answer(kind, owner, held, listing, "cache", known, held.generated_at(listing.part), trouble)

    def _other_role(self, held: HeldRelease, kind: ListKind, owner: str, trouble: str) -> Answer:
        roles = " or ".join(map(with_article, kind.roles))
        reason = f"this person is not {roles}, so there is no list of {kind} for them"
        listing = NOBODY if isinstance(kind, Surface) else NOTHING
        return Answer(kind, owner, held, listing, "cache", True, held.generated_at(), trouble, reason)

    def _of_another_role(self, held: HeldRelease, kind: ListKind, row: int) -> bool:
        table = held.items[kind.owner]
        return kind.owner is Entity.USER and int(table.role[row]) not in [role.code for role in kind.roles]


def _may_change(held: HeldRelease, kind: ListKind, owner: str, listing: StoredList, met: int) -> bool:
    """Return whether the items that an owner acted on since the list was made may change its route."""
    return isinstance(kind, Surface) and route_may_change(kind, listing.count, met, held.settings_of(kind, owner))


def _nothing_for(
    held: HeldRelease, kind: ListKind, owner: str, trouble: str, known: bool = True, count: int = 0
) -> Answer:
    """Return an empty similar list, with the reason."""
    one = "startup" if kind.owner is Entity.STARTUP else "person"
    reason = f"no {one} with this id is known" if not known else f"nothing is known that is similar to this {one}"
    return Answer(
        kind, owner, held, replace(NOTHING, count=count), "cache", known, held.generated_at(), trouble, reason
    )


def _decoded(held: HeldRelease, kind: ListKind, found: Mapping[str, Found]) -> tuple[dict[str, StoredList], str]:
    """Decode the stored lists of these owners. Return an error text too, empty on success."""
    lists, trouble = dict[str, StoredList](), ""
    for owner, hit in found.items():
        try:
            if hit.stored is not None:
                lists[owner] = _checked(decode_list(hit.stored), len(held.items[kind.item].ids))
        except ReleaseIncomplete as error:
            trouble = str(error)
            log.error("a list of release %s on %s cannot be read: %s", held.id, kind, error)
    return lists, trouble


def _checked(listing: StoredList, items: int) -> StoredList:
    """Return the list. Raises ReleaseIncomplete if it names an item that the release does not have."""
    if len(listing.item) and (most := int(listing.item.max())) >= items:
        raise ReleaseIncomplete(f"a stored list must name items below {items}, got {most}; publish again")
    return listing


def _is_impersonal(found: LiveAnswer) -> bool:
    """Return whether an opted-out user may get this live answer. One computed earlier may be personal."""
    return found.listing is None or found.listing.impersonal


def _listed(trending: TrendingList, ids: IdMap) -> StoredList:
    """Make a trending list with the item numbers of a release. Items unknown to it are removed."""
    row = ids.rows_of(trending.ids)
    item, score = row[row >= 0].astype(np.uint32), trending.score[row >= 0]
    return replace(
        NOBODY,
        item=item,
        score=score,
        source=np.full(len(item), POPULAR.bit, MASK),
        reason=np.full(len(item), POPULAR.code << 24, REASON),
    )
