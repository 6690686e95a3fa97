"""`POST /api/events`: what people do, as it happens, taken all or none; and how much of it waits for the drain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from models.errors import EventsNotTaken, MalformedEvent, RequestError, ServiceError
from models.nouns.interactions import Event
from serving.doors.cache import Cache
from serving.http.routes import caller

EVENTS_MOST = 200
RETRY_S = 5  # a Redis that restarts is back by then

TAKEN = Counter("matchbook_events_taken", "Posted events that were taken", ["type"])
REFUSED = Counter("matchbook_event_requests_refused", "Requests whose events were not taken, not one of them", ["code"])


def event_routes(cache: Cache) -> Blueprint:
    """The route that takes events."""
    routes = Blueprint("taking", __name__)

    @routes.post("/api/events")
    def events() -> tuple[Response, int]:
        """Take the events of a request."""
        try:
            taken = read_events(request.get_json(silent=True), datetime.now(UTC))
            _post(cache, taken)
        except RequestError as error:
            REFUSED.labels(error.code).inc()
            raise
        for event in taken:
            TAKEN.labels(event.kind.value).inc()
        return jsonify({"accepted": len(taken)}), 202

    return routes


def read_events(body: Any, received: datetime) -> list[Event]:
    """The events of a request, in order. Raises RequestError naming the first that is malformed by its place."""
    given = body.get("events") if isinstance(body, dict) else None
    if not isinstance(given, list) or not 1 <= len(given) <= EVENTS_MOST:
        got = f"{len(given)} events" if isinstance(given, list) else type(body).__name__
        raise RequestError("malformed_body", f'JSON {{"events": [...]}} with 1 to {EVENTS_MOST} events', got,
                           "send Content-Type: application/json and split longer lists over several requests")
    events = []
    for i, one in enumerate(given):
        try:
            events.append(Event.read(one, received))
        except MalformedEvent as error:
            raise RequestError("malformed_event", f"events[{i}].{error.field}: {error.expected}", error.got,
                               f"{error.hint}; no event of this request was taken") from error
    return events


def _post(cache: Cache, events: Sequence[Event]) -> None:
    """Raises EventsNotTaken also where Redis does not answer."""
    try:
        cache.post(caller(), events)
    except ServiceError as error:
        raise EventsNotTaken("events_not_taken", "Redis to keep them for the drain", str(error), RETRY_S) from error


class Waiting:
    """What of the posted events is under way, for Prometheus: asked of Redis, where all readers and the drain meet."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def numbers(self) -> bytes:
        """In the format of Prometheus; nothing while Redis is down."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing: the registry needs no look at Redis to know that no name stands twice."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            (length, oldest_s), done = self._cache.waiting(), self._cache.whole(self._cache.keys.drain)
        except ServiceError:
            return
        yield GaugeMetricFamily("matchbook_events_waiting", "Posted events that the drain has not kept yet", length)
        yield GaugeMetricFamily("matchbook_events_oldest_seconds", "How long the oldest of them has waited", oldest_s)
        for name, about in (("drained", "Posted events kept in PostgreSQL"),
                            ("set_aside", "Entries of the stream that were no events")):
            yield CounterMetricFamily(f"matchbook_events_{name}", about, int(done.get(name.encode(), 0)))
