"""Take the events of `POST /api/events`, all or none, and report the metrics of events and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, g, jsonify
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from models.data.event import AHEAD, Event
from models.errors import EventsNotTaken, MalformedEvent, NotAllowed, RequestError, ServiceError
from models.keys import ApiKey
from serving.clients.redis import PAGE, Cache
from serving.filters import Hidden
from serving.http.answer_ids import AnswerIds
from serving.http.requests import sent
from serving.http.routes import caller

EVENTS_MOST = 200
EARNED_RELEASES = 3
EARNED_EXPERIMENTS = 10
EARNED_RATES = ("click_through", "conversion", "application", "satisfaction", "feedback", "precision_at_10")
RETRY_S = 5  # by then a restarted Redis is back

TAKEN = Counter("matchbook_events_taken", "Posted events that were taken", ["type"])
REFUSED = Counter("matchbook_event_requests_refused", "Requests of which no event was taken", ["code"])


def event_routes(cache: Cache, ids: AnswerIds, hidden: Hidden) -> Blueprint:
    """Make the route that takes events. Events of erased users get the same answer but are not stored."""
    routes = Blueprint("taking", __name__)

    @routes.post("/api/events")
    def events() -> tuple[Response, int]:
        try:
            received = _received(cache)
            taken = read_events(sent("events", EVENTS_MOST), received)
            ids.check(taken)
            _check_bounds(g.get("key"), taken)
            gone = hidden.erased({id for e in taken for id in (e.user, e.startup)})
            _post(cache, [e for e in taken if not gone & {e.user, e.startup}], received)
        except RequestError as error:
            REFUSED.labels(error.code).inc()
            raise
        for event in taken:
            TAKEN.labels(event.kind.value).inc()
        return jsonify({"accepted": len(taken)}), 202

    return routes


def read_events(given: Sequence[Any], received: datetime) -> list[Event]:
    """Return the events of a request in order. Events without a time are one microsecond apart.

    Raises RequestError with the position of the first malformed event.
    """
    events = []
    for i, one in enumerate(given):
        try:
            events.append(Event.read(one, received + timedelta(microseconds=i), received + AHEAD))
        except MalformedEvent as error:
            raise RequestError(
                "malformed_event",
                f"events[{i}].{error.field}: {error.expected}",
                error.got,
                f"{error.hint}; no event of this request was taken",
            ) from error
    return events


def _received(cache: Cache) -> datetime:
    """Return the time of the clock of Redis, which all readers share, or the local time if Redis is silent."""
    try:
        return cache.now()
    except ServiceError:
        return datetime.now(UTC)


def _check_bounds(key: ApiKey | None, events: Sequence[Event]) -> None:
    """Raises NotAllowed at the first event that the caller's key may not post."""
    for i, event in enumerate(events if key is not None and key.bound else ()):
        if key is not None and (field := key.forbids(event.kind, event.user, event.startup)):
            may = {"type": key.types, "user_id": key.users, "startup_id": key.startups}[field]
            raise NotAllowed(
                "event_not_allowed",
                f"events[{i}].{field}: {' or '.join(may)}, the only ones that key {key.id} may post",
                event.entry()[field],
                "send it with another key; no event of this request was taken",
            )


def _post(cache: Cache, events: Sequence[Event], received: datetime) -> None:
    """Store events. Raises EventsNotTaken, also if Redis does not answer."""
    if not events:
        cache.admit(caller())
        return
    try:
        cache.post(caller(), events, received)
    except ServiceError as error:
        raise EventsNotTaken("events_not_taken", "Redis to store them for the drain", str(error), RETRY_S) from error


class Waiting:
    """Reports posted events and measured answers from Redis, which all readers share."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def numbers(self) -> bytes:
        """Return Prometheus text format. Empty while Redis is down."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Return nothing, so that the registry does not read Redis to check for duplicate names."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            (length, oldest_s), done = self._cache.waiting(), self._cache.whole(self._cache.keys.drain)
            measured = self._cache.get(self._cache.keys.earnings, PAGE)
        except ServiceError:
            return
        yield GaugeMetricFamily("matchbook_events_waiting", "Posted events that the drain has not stored yet", length)
        yield GaugeMetricFamily(
            "matchbook_events_oldest_seconds", "Seconds that the oldest of them has waited", oldest_s
        )
        yield GaugeMetricFamily(
            "matchbook_drain_at_seconds",
            "When the drain last ran, in seconds since 1970; 0: never",
            int(done.get(b"until", 0)) // 1_000_000,
        )
        for name, about in (
            ("drained", "Posted events stored in PostgreSQL"),
            ("set_aside", "Rejected entries of the stream: not valid events"),
        ):
            yield CounterMetricFamily(f"matchbook_events_{name}", about, int(done.get(name.encode(), 0)))
        with suppress(ValueError, LookupError, TypeError):  # another version wrote it; the next hourly run replaces it
            yield from list(engagement(measured))


def engagement(measured: bytes | None) -> Iterator[Metric]:
    """Yield metrics of recent engagement from `measure_answers`, none before its first run (J01-J10).

    Each label value makes a series that never ends. So there are no days, only the newest EARNED_RELEASES releases
    and EARNED_EXPERIMENTS experiments, each in its newest edition.
    """
    if measured is None:
        return
    found = json.loads(measured)
    at = GaugeMetricFamily(
        "matchbook_earned_at_seconds", "When engagement with answers was measured, in seconds since 1970"
    )
    at.add_metric([], datetime.fromisoformat(found["made_at"]).timestamp())
    shown = GaugeMetricFamily("matchbook_earned_impressions", "Items shown in answers", labels=["by", "name"])
    share = GaugeMetricFamily("matchbook_earned_share", "Share of all answers (J01, J02)", labels=["by", "name"])
    age = GaugeMetricFamily("matchbook_earned_age_days", "Mean age of shown items (J09)", labels=["by", "name"])
    rates = GaugeMetricFamily(
        "matchbook_earned_rate",
        "Rate over shown items, with its 95% interval (C55-C57, J05-J10)",
        labels=["rate", "by", "name", "bound"],
    )
    experiments = _newest(found["experiments"])
    shown_of = {
        "release": found["by"]["release"][-EARNED_RELEASES:],
        "arm": [g for g in found["by"]["arm"] if (g["experiment"], g["edition"]) in experiments],
    }
    for by in ("method", "route", "surface", "release", "arm"):
        for group in shown_of.get(by, found["by"][by]):
            name = [by, group["name"]]
            shown.add_metric(name, group["impressions"])
            share.add_metric(name, group["share"])
            if group["age_days"]["value"] is not None:
                age.add_metric(name, group["age_days"]["value"])
            for rate, bound in ((r, b) for r in EARNED_RATES for b in ("low", "value", "high")):
                if group[rate][bound] is not None:
                    rates.add_metric([rate, *name, bound], group[rate][bound])
    uneven = GaugeMetricFamily(
        "matchbook_experiment_sample_ratio_p",
        "p-value of the sample ratio test of the arms; below 0.001 the split is broken",
        labels=["experiment", "edition"],
    )
    for e in experiments.values():
        if e["sample_ratio"]["p"] is not None:
            uneven.add_metric([e["name"], e["edition"]], e["sample_ratio"]["p"])
    yield from (at, shown, share, age, rates, uneven)


def _newest(experiments: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the most recent experiments, by name and edition, each in its newest edition."""
    ordered = sorted(experiments, key=lambda e: (e["until"], e["since"]))
    last = {e["name"]: e for e in ordered}  # the newest edition of each name
    newest = sorted(last.values(), key=lambda e: (e["until"], e["since"]))[-EARNED_EXPERIMENTS:]
    return {(e["name"], e["edition"]): e for e in newest}
