"""The live fallback: the same recipe for a batch of one, where a release has no list for an owner (H05, H07, R01).

One computation per key in this process however many ask, a bounded number at once, and a budget: whoever waits longer
is answered by the next level of the chain while the computation goes on and is found in Redis by the next request.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import numpy as np

from models.errors import BundleError, MatchbookError, ServiceError
from models.nouns.bundle import Bundle
from models.nouns.id_map import IdMap
from models.nouns.interactions import Interactions
from models.nouns.owners import Owners
from models.nouns.release import LiveList, decode_list, encode_lists
from models.nouns.vocabulary import InteractionKind, Surface
from models.recipe import Recipe, open_bundles, open_recipe
from models.recommend import recommend
from models.scorers.content import text_of
from models.settings import Settings
from serving.doors.cache import Cache
from serving.doors.postgres import Database, OwnerRecord
from serving.lists import LiveAnswer
from serving.releases import HeldRelease, instant

log = logging.getLogger("matchbook.reader")

WAITING_MOST = 64  # computations that may wait for a worker; beyond it the next level of the chain answers at once
Key = tuple[str, Surface, str]


@dataclass(frozen=True, eq=False)
class Recipes:
    """The models of one release. trouble: what of it could not be opened, empty if nothing."""

    release: str
    by_surface: Mapping[Surface, Recipe] = field(default_factory=dict)
    trouble: str = ""


class LiveRecommender:
    """Computes lists of owners that a release has none for."""

    def __init__(self, settings: Settings, cache: Cache, database: Database) -> None:
        self._settings, self._cache, self._database = settings, cache, database
        self._workers = ThreadPoolExecutor(settings.live_workers, "live")
        self._opener = ThreadPoolExecutor(1, "recipes")
        self._opening: tuple[str, Future[Recipes]] | None = None
        self._lock = threading.Lock()
        self._flights: dict[Key, Future[LiveList]] = {}

    def follow(self, held: HeldRelease) -> None:
        """Open the models of a release in the background, once; those of the release before are let go (A17)."""
        self._opening = (held.id, self._opener.submit(open_recipes, self._settings, held))

    def recipes(self, held: HeldRelease, patience_s: float = 0.0) -> Recipes:
        """The opened models of a release. Raises ServiceError while they are being opened."""
        release, opening = self._opening or ("", None)
        if opening is None or release != held.id:
            raise ServiceError(f"the models of release {held.id} are not open any more")
        try:
            return opening.result(timeout=patience_s)
        except TimeoutError as error:
            raise ServiceError(f"the models of release {held.id} are still being opened") from error

    def trouble(self, held: HeldRelease) -> tuple[bool, str]:
        """Whether the models of a release are open, and what of them could not be opened, empty if nothing."""
        release, opening = self._opening or ("", None)
        if opening is None or release != held.id or not opening.done():
            return False, ""
        return True, opening.result().trouble

    def answers(self, held: HeldRelease, surface: Surface,
                owners: Sequence[str]) -> tuple[Mapping[str, LiveAnswer], str]:
        """What is kept from before or could be computed within the budget, and what was down, empty if nothing."""
        if not owners:
            return {}, ""
        found = self._kept(held, surface, owners)
        flights, trouble = self._start(held, surface, [o for o in owners if o not in found])
        wait(flights.values(), timeout=self._settings.live_budget_s)
        for owner, flight in flights.items():
            if not flight.done():
                trouble = f"a live list took longer than {self._settings.live_budget_s:g} s"
            elif (error := flight.exception()) is not None:
                trouble = str(error)
            else:
                found[owner] = flight.result()
        return {o: _answer(f) for o, f in found.items()}, trouble or self.trouble(held)[1]

    def count(self, held: HeldRelease, surface: Surface, owner: str) -> int:
        """The count kept by an earlier computation (H03), else that of the cutoff, else 0; never a database read."""
        try:
            kept = self._cache.get(self._cache.keys.count(surface.owner, owner))
            if kept is not None:
                return int(kept)
        except ServiceError:
            pass  # Redis is down; the count of the cutoff will do
        try:
            owners = self.recipes(held).by_surface[surface].owners
        except (ServiceError, KeyError):
            return 0
        row = int(owners.ids.rows_of([owner])[0])
        return int(owners.count[row]) if row >= 0 else 0

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._opener.shutdown(wait=False, cancel_futures=True)

    def _kept(self, held: HeldRelease, surface: Surface, owners: Sequence[str]) -> dict[str, LiveList]:
        try:
            values = self._cache.get_many([self._cache.keys.live(held.id, surface, o) for o in owners])
            return {o: LiveList.decode(v) for o, v in zip(owners, values, strict=True) if v is not None}
        except MatchbookError as error:
            log.debug("no live lists from Redis: %s", error)
            return {}

    def _start(self, held: HeldRelease, surface: Surface,
               owners: Sequence[str]) -> tuple[dict[str, Future[LiveList]], str]:
        """A computation for each owner, joining one that is under way (single flight)."""
        flights: dict[str, Future[LiveList]] = {}
        for owner in owners:
            key = (held.id, surface, owner)
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    if len(self._flights) >= WAITING_MOST:
                        return flights, "too many lists are being computed live"
                    flight = self._flights[key] = self._workers.submit(self._compute, held, surface, owner)
            flight.add_done_callback(partial(self._landed, key))
            flights[owner] = flight
        return flights, ""

    def _landed(self, key: Key, _: Future[LiveList]) -> None:
        with self._lock:
            self._flights.pop(key, None)

    def _compute(self, held: HeldRelease, surface: Surface, owner: str) -> LiveList:
        """Read the owner, run the recipe, keep the result. Raises ServiceError."""
        started = time.perf_counter()
        now = datetime.now(UTC)
        record = self._database.owner(surface.owner, owner, now)
        value, count = b"", 0
        if record is not None:
            count = record.count(surface.owner)
            if record.role is None or record.role == surface.role.value:
                recipe = self._recipe(held, surface)
                value = encode_lists(recommend(recipe, batch_of_one(recipe, owner, record), recipe.settings.depth))[0]
        found = LiveList(value, record is not None, int(now.timestamp() * 1e6))
        self._keep(held, surface, owner, found, count)
        log.info("live list release=%s surface=%s known=%s count=%d ms=%.1f", held.id, surface, found.known, count,
                 1000 * (time.perf_counter() - started))
        return found

    def _recipe(self, held: HeldRelease, surface: Surface) -> Recipe:
        recipes = self.recipes(held, patience_s=self._settings.live_budget_s)
        if surface not in recipes.by_surface:
            raise ServiceError(recipes.trouble)
        return recipes.by_surface[surface]

    def _keep(self, held: HeldRelease, surface: Surface, owner: str, found: LiveList, count: int) -> None:
        """Store with the live TTL, shortened at random so that what was computed together does not expire together."""
        ttl = self._settings.live_ttl_s if found.known else self._settings.unknown_ttl_s
        keys = self._cache.keys
        ttl = max(1, round(ttl * random.uniform(0.8, 1)))  # noqa: S311 - spreads expiry, hides nothing
        entries = [(keys.live(held.id, surface, owner), found.encode(), ttl)]
        if found.known:
            entries.append((keys.count(surface.owner, owner), str(count).encode(), self._settings.count_ttl_s))
        try:
            self._cache.store(entries)
        except ServiceError as error:
            log.debug("a live list is not kept: %s", error)


def open_recipes(settings: Settings, held: HeldRelease) -> Recipes:
    """Open the bundles of a release and align them for every surface; what cannot be opened is left out and said.

    Never raises: without the catalogue or popularity there are no recipes, and the popular list answers (P09, B09).
    """
    started = time.perf_counter()
    recorded = replace(settings.with_recorded(held.release.settings), als_model_path=settings.als_model_path,
                       two_tower_model_path=settings.two_tower_model_path)  # a pin is the reader's own (M04)
    bundles: dict[str, Bundle] = {}
    troubles = []
    for name, version in held.release.bundles.items():
        try:
            bundles |= open_bundles(settings.artifacts, {name: version}, recorded)
            log.info("model loaded: %s %s", name, bundles[name].version)
        except (BundleError, OSError) as error:
            troubles.append(str(error))
            log.error("model not loaded: %s %s: %s", name, version, error)
    try:
        recipes = {s: open_recipe(s, bundles, recorded) for s in Surface}
    except (MatchbookError, LookupError, ValueError) as error:
        log.error("no list can be computed live from release %s: %s", held.id, error, exc_info=not troubles)
        return Recipes(held.id, trouble="; ".join(troubles) or f"the models of release {held.id} do not fit together")
    log.info("models of release %s are open after %.2f s", held.id, time.perf_counter() - started)
    return Recipes(held.id, recipes, "; ".join(troubles))


def batch_of_one(recipe: Recipe, owner: str, record: OwnerRecord) -> Owners:
    """The owner as the recipe sees one in a batch, but with everything that happened since the cutoff."""
    row = int(recipe.owners.ids.rows_of([owner])[0])
    place = recipe.items.ids.rows_of(record.item)
    there = place >= 0
    nobody = IdMap.of([owner])
    events = Interactions(nobody, recipe.items.ids, np.zeros(int(there.sum()), np.int32), place[there],
                          record.kind[there], record.at[there])
    seen = events if recipe.settings.views_are_seen else events.where(events.kind != InteractionKind.VIEW.code)
    own = recipe.items.ids.rows_of(record.own)
    barred = (seen.pairs() + events.disliked()).tolil()
    barred[0, own[own >= 0]] = True
    return recipe.stranger(record.count(recipe.surface.owner), events.csr()[:, recipe.catalogue].tocsr(),
                           barred.tocsr()[:, recipe.catalogue].tocsr(), text_of(record.profile), record.opted_out, row,
                           events)


def _answer(found: LiveList) -> LiveAnswer:
    return LiveAnswer(decode_list(found.value) if found.value else None, found.known, instant(found.made_us))
