"""Read or compute the live list of an owner whose stored list is missing or outdated.

A request that exceeds the time budget gets the next fallback. The computation continues and writes its result to
Redis, where the next request finds it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

from prometheus_client import Histogram

from models.errors import MatchbookError, ServiceError
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import LiveList, decode_list, encode_lists
from models.recommender.surface import SurfaceRecommender
from models.routing import route_may_change
from models.schema import Entity, ListKind, Surface
from models.settings.settings import Settings
from serving.clients.postgres import Database, OwnerRecord
from serving.clients.redis import LIVE, Cache
from serving.lists import LiveAnswer
from serving.live.recommenders import Recipes, list_of_one, open_recipes, similar_to_one
from serving.releases import HeldRelease, instant

#: Longer than any computation, because each wait in it has a time-out. The claim of a dead process ends after it.
LEASE_S = 5.0
#: Mean seconds between attempts after a failure, so that an outage causes no queue.
REST_S = 1.5
WAITING_MOST = 64  # computations of this process that may wait for a worker
_FAILED = b"failed"


class Flights:
    """Starts a bounded number of computations. Requests for the same list share one computation.

    While Redis is down, each process computes for itself, and the pauses of the clients prevent a queue.
    """

    def __init__(self, cache: Cache, workers: int) -> None:
        self._cache, self._workers = cache, ThreadPoolExecutor(workers, "live")
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[LiveList | None]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def join(self, key: str, compute: Callable[[], LiveList]) -> Future[LiveList | None]:
        """Return a future of the list under this key of Redis. Its value is None if another process computes it.

        That process writes the list to Redis. Raises ServiceError if too many computations wait.
        """
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight
            if len(self._under_way) >= WAITING_MOST:
                raise ServiceError("too many lists are being computed live")
            flight = self._under_way[key] = Future()
        token = uuid.uuid4().hex.encode()
        before = self._claimed(key, token)
        if before is None:
            self._workers.submit(self._fly, key, token, compute, flight)
        elif before == _FAILED:
            self._land(key, flight, error=ServiceError("a live list failed a moment ago; it is tried again soon"))
        else:
            self._land(key, flight)
        return flight

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _claimed(self, key: str, token: bytes) -> bytes | None:
        """Claim the key for this process. Return None on success, else the value of the key."""
        try:
            return self._cache.claim(key, token, round(1000 * LEASE_S))
        except ServiceError:
            return None  # Redis is down: each process computes for itself

    def _fly(self, key: str, token: bytes, compute: Callable[[], LiveList], flight: Future[LiveList | None]) -> None:
        try:
            found = compute()
        except Exception as error:  # noqa: BLE001 - the waiting requests get the error and use the next fallback
            rest_ms = round(1000 * REST_S * random.uniform(0.7, 1.3))  # noqa: S311 - spreads load, not for security
            self._leave(key, token, _FAILED, rest_ms)
            self._land(key, flight, error=error)
        else:
            self._leave(key, token)
            self._land(key, flight, found)

    def _leave(self, key: str, token: bytes, instead: bytes = b"", ttl_ms: int = 0) -> None:
        with suppress(MatchbookError):  # if Redis is down, the claim expires
            self._cache.give_up(key, token, instead, ttl_ms)

    def _land(
        self, key: str, flight: Future[LiveList | None], found: LiveList | None = None, error: Exception | None = None
    ) -> None:
        with self._lock:
            self._under_way.pop(key, None)
        if error is not None:
            flight.set_exception(error)
        else:
            flight.set_result(found)


log = logging.getLogger("matchbook.reader")

POLL_S = 0.01  # seconds between checks for the result of another process
#: Minimum seconds between two computations of a list whose owner may have crossed a threshold.
AGAIN_S = 60.0
#: TTL in seconds of an interaction count (H03) and of the result that an id is unknown.
COUNT_TTL_S, UNKNOWN_TTL_S = 300, 30
SECONDS = Histogram(
    "matchbook_live_seconds",
    "Time to compute a list live, reading the owner included",
    ["surface"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2),
)


class LiveRecommender:
    """Computes the lists of owners without a list in the release."""

    def __init__(self, settings: Settings, cache: Cache, database: Database) -> None:
        self._settings, self._cache, self._database = settings, cache, database
        self.flights = Flights(cache, settings.reader.live_workers)
        self._opener = ThreadPoolExecutor(1, "recipes")
        self._opening: tuple[str, Future[Recipes]] | None = None

    def follow(self, held: HeldRelease) -> None:
        """Open the models of a release once, in the background. Drop those of the previous release (A17)."""
        self._opening = (held.id, self._opener.submit(open_recipes, self._settings, held))

    def recipes(self, held: HeldRelease, patience_s: float = 0.0) -> Recipes:
        """Return the opened models of a release. Raises ServiceError while they are loading."""
        release, opening = self._opening or ("", None)
        if opening is None or release != held.id:
            raise ServiceError(f"the models of release {held.id} are not open any more")
        try:
            return opening.result(timeout=patience_s)
        except TimeoutError as error:
            raise ServiceError(f"the models of release {held.id} are still being opened") from error

    def recipe(self, held: HeldRelease, surface: Surface, owner: str, patience_s: float) -> SurfaceRecommender:
        """Return the models of one surface with the settings of the owner's arm.

        Raises ServiceError if they are loading or cannot be opened.
        """
        recipes, found = self.recipes(held, patience_s), held.arm(surface, owner)
        if surface not in recipes.by_surface:
            raise ServiceError(recipes.trouble)
        return recipes.arms[surface, found[0].name, found[1].name] if found else recipes.by_surface[surface]

    def trouble(self, held: HeldRelease) -> tuple[bool, str]:
        """Return whether the models of a release are open, and the error of those that are not, or empty."""
        release, opening = self._opening or ("", None)
        if opening is None or release != held.id or not opening.done():
            return False, ""
        return True, opening.result().trouble

    def answers(
        self, held: HeldRelease, kind: ListKind, owners: Sequence[str], met: Mapping[str, int] = MappingProxyType({})
    ) -> tuple[Mapping[str, LiveAnswer], str]:
        """Return the lists from Redis or computed within the budget, and an error text, empty on success."""
        if not owners:
            return {}, ""
        deadline, trouble = time.monotonic() + self._settings.reader.live_budget_s, ""
        kept = self._kept(held, kind, owners)
        found = self._current(held, kind, kept, met)
        pending = [o for o in owners if o not in found]
        while pending:
            computed, pending, wrong = self._computed(held, kind, pending, met, deadline)
            found, trouble = found | computed, trouble or wrong
            if pending and time.monotonic() + POLL_S > deadline:
                trouble = self._late()
                break
            if pending:
                time.sleep(POLL_S)
                found |= self._current(held, kind, self._kept(held, kind, pending), met)
                pending = [o for o in pending if o not in found]
        return {o: _answer(f) for o, f in (kept | found).items()}, trouble or self.trouble(held)[1]

    def count(self, held: HeldRelease, kind: ListKind, owner: str) -> int:
        """Return the count of an earlier computation, else the count at the cutoff, else 0 (H03). Reads no database."""
        try:
            kept = self._cache.get(self._cache.keys.count(kind.owner, owner), LIVE)
            if kept is not None:
                return int(kept)
        except ServiceError:
            pass  # Redis is down: use the count at the cutoff
        try:
            recipes = self.recipes(held).by_surface
            owners = next(recipes[s].owners for s in Surface if s.owner is kind.owner)
        except (ServiceError, KeyError):
            return 0
        row = int(owners.ids.rows_of([owner])[0])
        return int(owners.count[row]) if row >= 0 else 0

    def close(self) -> None:
        self.flights.close()
        self._opener.shutdown(wait=False, cancel_futures=True)

    def _kept(self, held: HeldRelease, kind: ListKind, owners: Sequence[str]) -> dict[str, LiveList]:
        try:
            values = self._cache.get_many([self._cache.keys.live(held.id, kind, o) for o in owners], LIVE)
            return {o: LiveList.decode(v) for o, v in zip(owners, values, strict=True) if v is not None}
        except MatchbookError as error:
            log.debug("no live lists from Redis: %s", error)
            return {}

    def _current(
        self, held: HeldRelease, kind: ListKind, kept: Mapping[str, LiveList], met: Mapping[str, int]
    ) -> dict[str, LiveList]:
        """Select the kept lists that are younger than AGAIN_S or whose route cannot have changed."""
        if not any(met.get(o) for o in kept):
            return dict(kept)
        latest_us = 1e6 * (time.time() - AGAIN_S)
        return {
            o: f
            for o, f in kept.items()
            if f.made_us > latest_us
            or not f.value
            or not isinstance(kind, Surface)
            or not route_may_change(kind, decode_list(f.value).count, met.get(o, 0), held.settings_of(kind, o))
        }

    def _computed(
        self, held: HeldRelease, kind: ListKind, owners: Sequence[str], met: Mapping[str, int], deadline: float
    ) -> tuple[dict[str, LiveList], list[str], str]:
        """Return the lists computed here in time, the owners that other processes compute, and the error."""
        flights: dict[str, Future[LiveList | None]] = {}
        found, elsewhere, trouble = dict[str, LiveList](), list[str](), ""
        for owner in owners:
            try:
                flights[owner] = self.flights.join(
                    self._cache.keys.flight(held.id, kind, owner),
                    partial(self._compute, held, kind, owner, met.get(owner, 0)),
                )
            except ServiceError as error:
                trouble = str(error)
        wait(flights.values(), timeout=max(0.0, deadline - time.monotonic()))
        for owner, flight in flights.items():
            if not flight.done():
                trouble = self._late()
            elif (wrong := flight.exception()) is not None:
                trouble = str(wrong)
            elif (mine := flight.result()) is None:
                elsewhere.append(owner)
            else:
                found[owner] = mine
        return found, elsewhere, trouble

    def _late(self) -> str:
        return f"a live list took longer than {self._settings.reader.live_budget_s:g} s"

    def _compute(self, held: HeldRelease, kind: ListKind, owner: str, met: int) -> LiveList:
        """Read the owner, compute the list, store it. Raises ServiceError."""
        if found := self._current(held, kind, self._kept(held, kind, [owner]), {owner: met}):
            return found[owner]  # another process has finished in the meantime
        with SECONDS.labels(kind).time():
            return self._computed_now(held, kind, owner)

    def _computed_now(self, held: HeldRelease, kind: ListKind, owner: str) -> LiveList:
        started = time.perf_counter()
        now = datetime.now(UTC)
        record = self._database.owner(kind.owner, owner, now)
        value, count = b"", 0
        if record is not None:
            count = record.count(kind.owner)
            if kind.owner is Entity.STARTUP or record.role in kind.roles:
                value = encode_lists(self._list_of(held, kind, owner, record))[0]
        found = LiveList(value, record is not None, int(now.timestamp() * 1e6))
        self._keep(held, kind, owner, found, count)
        log.info(
            "live list release=%s surface=%s known=%s count=%d ms=%.1f",
            held.id,
            kind,
            found.known,
            count,
            1000 * (time.perf_counter() - started),
        )
        return found

    def _list_of(self, held: HeldRelease, kind: ListKind, owner: str, record: OwnerRecord) -> RankedLists:
        """Compute a list with the models of the release. Raises ServiceError if they are not open."""
        patience_s = self._settings.reader.live_budget_s
        if isinstance(kind, Surface):
            return list_of_one(self.recipe(held, kind, owner, patience_s), owner, record)
        recipes = self.recipes(held, patience_s)
        found = next((recipe for similar, recipe in recipes.similar.items() if similar is kind), None)
        if found is None:
            raise ServiceError(recipes.trouble)
        return similar_to_one(found, owner, record)

    def _keep(self, held: HeldRelease, kind: ListKind, owner: str, found: LiveList, count: int) -> None:
        """Store a list. Its TTL is shortened at random, so that lists computed together expire at different times."""
        ttl = self._settings.reader.live_ttl_s if found.known else UNKNOWN_TTL_S
        keys = self._cache.keys
        ttl = max(1, round(ttl * random.uniform(0.8, 1)))  # noqa: S311 - spreads expiry, not for security
        entries = [(keys.live(held.id, kind, owner), found.encode(), ttl)]
        if found.known:
            entries.append((keys.count(kind.owner, owner), str(count).encode(), COUNT_TTL_S))
        try:
            self._cache.store(entries)
        except ServiceError as error:
            log.debug("a live list is not kept: %s", error)


def _answer(found: LiveList) -> LiveAnswer:
    return LiveAnswer(decode_list(found.value) if found.value else None, found.known, instant(found.made_us))
