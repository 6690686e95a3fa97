"""One owner's list: from the release held, else computed live, else popular; never nothing, never two mixed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import numpy as np

from models.errors import MatchbookError, ReleaseIncomplete, ServiceError
from models.nouns.id_map import IdMap
from models.nouns.release import StoredList, TrendingList, decode_list
from models.nouns.vocabulary import Entity, Method, Role, Source, Surface
from models.routing import may_be_routed_otherwise, route
from models.settings import Settings
from serving.cache import Cache
from serving.releases import HeldRelease, Releases, instant

log = logging.getLogger("matchbook.reader")

_METHODS = tuple(Method)
NOBODY = StoredList(Method.POPULAR, Method.POPULAR, False, 0, 0, np.zeros(0, np.uint32), np.zeros(0, np.float32),
                    np.zeros(0, np.uint8), np.zeros(0, np.uint8))


@dataclass(frozen=True, eq=False)
class Answer:
    """A list and what is to be said about it.

    owner: its id, empty for popular and trending lists. source: "cache" as published, "live" computed since.
    trouble: what was down on the way, empty if nothing. reason: why the list is empty, where it is for a reason.
    """

    surface: Surface
    owner: str
    held: HeldRelease
    listing: StoredList
    source: str
    known: bool
    generated_at: str
    trouble: str = ""
    reason: str = ""


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """What the live fallback found. listing is None for whoever the platform does not know or knows in another role."""

    listing: StoredList | None
    known: bool
    generated_at: str


class Live(Protocol):
    """The live fallback, as the reader sees it."""

    def answers(self, held: HeldRelease, surface: Surface, owners: Sequence[str],
                met: Mapping[str, int]) -> tuple[Mapping[str, LiveAnswer], str]:
        """What could be computed within the budget, and what was down, empty if nothing.

        met: how many an owner may have met since the build, 0 where nothing is known.
        """
        ...

    def count(self, held: HeldRelease, surface: Surface, owner: str) -> int:
        """The best known interaction count of an owner whose list could not be computed, without a database read."""
        ...


class ListReader:
    """Finds lists. The release is resolved once per call; a hit is one round trip to Redis and no database."""

    def __init__(self, settings: Settings, cache: Cache, releases: Releases, live: Live) -> None:
        self._settings, self._cache, self.releases, self._live = settings, cache, releases, live

    def one(self, surface: Surface, owner: str) -> Answer:
        """The list of one owner. Raises ReleaseNotFound where there has never been a release."""
        return self.many(surface, [owner])[0]

    def many(self, surface: Surface, owners: Sequence[str]) -> list[Answer]:
        """The lists of several owners, all of one release, in the order asked."""
        held = self.releases.held
        found, trouble = self._stored(held, surface, owners)
        trouble = trouble or self.releases.trouble
        answers = {o: Answer(surface, o, held, stored, "cache", True, held.generated_at(stored.part), trouble)
                   for o, stored in found.items()}
        missing, met = [o for o in owners if o not in found], self._met(surface, owners)
        if missing:
            answers |= self._missing(held, surface, missing, met, trouble)
        if met:
            answers |= self._outgrown(held, surface, {o: answers[o] for o in found}, met)
        return [answers[o] for o in owners]

    def popular(self, surface: Surface) -> Answer:
        """The popular list of a surface (F06), held in process."""
        held = self.releases.held
        listing = replace(held.popular.get(surface, NOBODY), route=Method.POPULAR)
        made = held.generated_at(listing.part)
        return Answer(surface, "", held, listing, "cache", False, made, self.releases.trouble)

    def trending(self, surface: Surface) -> Answer:
        """What moves between builds (F06); the popular list where nothing is trending or Redis is down."""
        popular = self.popular(surface)
        try:
            value = self._cache.get(self._cache.keys.trending(surface))
            found = TrendingList.decode(value) if value else None
        except MatchbookError as error:
            return replace(popular, trouble=str(error))
        if found is None or not len(found.ids):
            return popular
        listing = _listed(found, popular.held.items[surface.item].ids)
        return replace(popular, listing=listing, generated_at=instant(found.made_us))

    def _stored(self, held: HeldRelease, surface: Surface,
                owners: Sequence[str]) -> tuple[dict[str, StoredList], str]:
        """The published lists of these owners, and what was wrong, empty if nothing."""
        key = self._cache.keys.lists(held.id, surface)
        try:
            if len(owners) == 1:
                values = [self._cache.field(key, UUID(owners[0]).bytes)]
            else:
                values = self._cache.fields(key, [UUID(o).bytes for o in owners])
            return {o: decode_list(v) for o, v in zip(owners, values, strict=True) if v is not None}, ""
        except ReleaseIncomplete as error:
            log.error("a list of release %s on %s cannot be read: %s", held.id, surface, error)
            return {}, str(error)
        except ServiceError as error:
            return {}, str(error)

    def _met(self, surface: Surface, owners: Sequence[str]) -> dict[str, int]:
        """How many each of these owners has met since the build, at most; who met nobody is left out."""
        try:
            counts = self._cache.lengths([self._cache.keys.since(surface.owner, o) for o in owners])
        except ServiceError:
            return {}
        return {o: n for o, n in zip(owners, counts, strict=True) if n}

    def _outgrown(self, held: HeldRelease, surface: Surface, stored: Mapping[str, Answer],
                  met: Mapping[str, int]) -> dict[str, Answer]:
        """Live lists in place of stored ones whose owners may be routed otherwise by now; the stored one, marked, where
        there is none in time."""
        settings = self._settings.with_recorded(held.release.settings)
        behind = [o for o, a in stored.items()
                  if may_be_routed_otherwise(surface, a.listing.count, met.get(o, 0), settings)]
        live, trouble = self._live.answers(held, surface, behind, met)
        answers = {o: replace(stored[o], trouble=stored[o].trouble or trouble) for o in behind}
        for o, found in live.items():
            if found.listing is not None:
                answers[o] = self._from_live(held, surface, o, found, stored[o].trouble)
        return answers

    def _missing(self, held: HeldRelease, surface: Surface, owners: Sequence[str], met: Mapping[str, int],
                 trouble: str) -> dict[str, Answer]:
        """Lists that are not stored: of people of another role, of newcomers, expired ones, all while Redis is down."""
        places = held.items[surface.owner].ids.rows_of(owners).tolist()
        rows = dict(zip(owners, places, strict=True))
        others = [o for o, row in rows.items() if row >= 0 and self._of_another_role(held, surface, row)]
        expected = [o for o, row in rows.items() if row >= 0 and o not in others]
        if expected and not trouble:
            self.releases.look_soon()  # a list that should be there is not: has the release been retired or expired?
            trouble = f"lists of release {held.id} are missing from Redis"
        live, live_trouble = self._live.answers(held, surface, [o for o in owners if o not in others], met)
        trouble = trouble or live_trouble
        answers = {o: self._other_role(held, surface, o, trouble) for o in others}
        for o in owners:
            if o in live:
                answers[o] = self._from_live(held, surface, o, live[o], trouble)
            elif o not in answers:
                count = self._live.count(held, surface, o)
                answers[o] = self._popular_for(held, surface, o, rows[o] >= 0, count, trouble or "no live list in time")
        return answers

    def _from_live(self, held: HeldRelease, surface: Surface, owner: str, found: LiveAnswer, trouble: str) -> Answer:
        if found.listing is not None:
            return Answer(surface, owner, held, found.listing, "live", True, found.generated_at, trouble)
        if found.known:
            return self._other_role(held, surface, owner, trouble)
        return self._popular_for(held, surface, owner, False, 0, trouble)

    def _popular_for(self, held: HeldRelease, surface: Surface, owner: str, known: bool, count: int,
                     trouble: str) -> Answer:
        """The popular list, marked; the route still says what the count alone would have led to."""
        settings = self._settings.with_recorded(held.release.settings)
        routed = _METHODS[int(route(surface, np.array([count], np.int32), settings).method[0])]
        listing = replace(held.popular.get(surface, NOBODY), route=routed, count=count)
        return Answer(surface, owner, held, listing, "cache", known, held.generated_at(listing.part), trouble)

    def _other_role(self, held: HeldRelease, surface: Surface, owner: str, trouble: str) -> Answer:
        reason = f"this person is not {_a(surface.role)}, so there is no list of {surface} for them"
        return Answer(surface, owner, held, NOBODY, "cache", True, held.generated_at(), trouble, reason)

    def _of_another_role(self, held: HeldRelease, surface: Surface, row: int) -> bool:
        table = held.items[surface.owner]
        return surface.owner is Entity.USER and int(table.role[row]) != tuple(Role).index(surface.role)


def _listed(trending: TrendingList, ids: IdMap) -> StoredList:
    """A trending list in a release's item numbers; what the release does not know is left out."""
    row = ids.rows_of(trending.ids)
    item, score = row[row >= 0].astype(np.uint32), trending.score[row >= 0]
    return replace(NOBODY, item=item, score=score, source=np.full(len(item), Source.POPULAR.bit, np.uint8),
                   reason=np.zeros(len(item), np.uint8))


def _a(role: Role) -> str:
    return f"{'an' if role.value[0] in 'aeiou' else 'a'} {role}"
