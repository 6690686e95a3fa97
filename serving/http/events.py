"""`POST /api/events`: what people do, as it happens, taken all or none; and how much of it waits for the drain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from models.errors import EventsNotTaken, MalformedEvent, RequestError, ServiceError
from models.nouns.interactions import Event
from serving.doors.cache import PAGE, Cache
from serving.http.answer_ids import AnswerIds
from serving.http.routes import caller

EVENTS_MOST = 200
EARNED_RELEASES = 3
EARNED_RATES = ("click_through", "conversion", "application", "satisfaction", "feedback", "precision_at_10")
RETRY_S = 5  # a Redis that restarts is back by then

TAKEN = Counter("matchbook_events_taken", "Posted events that were taken", ["type"])
REFUSED = Counter("matchbook_event_requests_refused", "Requests whose events were not taken, not one of them", ["code"])


def event_routes(cache: Cache, ids: AnswerIds) -> Blueprint:
    """The route that takes events."""
    routes = Blueprint("taking", __name__)

    @routes.post("/api/events")
    def events() -> tuple[Response, int]:
        """Take the events of a request."""
        try:
            taken = read_events(request.get_json(silent=True), datetime.now(UTC))
            ids.check(taken)
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
            measured = self._cache.get(self._cache.keys.earnings, PAGE)
        except ServiceError:
            return
        yield GaugeMetricFamily("matchbook_events_waiting", "Posted events that the drain has not kept yet", length)
        yield GaugeMetricFamily("matchbook_events_oldest_seconds", "How long the oldest of them has waited", oldest_s)
        for name, about in (("drained", "Posted events kept in PostgreSQL"),
                            ("set_aside", "Entries of the stream that were no events")):
            yield CounterMetricFamily(f"matchbook_events_{name}", about, int(done.get(name.encode(), 0)))
        with suppress(ValueError, LookupError, TypeError):  # another version counted it; the next hour counts anew
            yield from list(earned(measured))


def earned(measured: bytes | None) -> Iterator[Metric]:
    """What answers earned of late (J01-J10), as `measure_answers` left it; nothing before it ever ran.

    Of releases the newest EARNED_RELEASES alone, and no days: each label is a series for ever.
    """
    if measured is None:
        return
    found = json.loads(measured)
    at = GaugeMetricFamily("matchbook_earned_at_seconds", "When what answers earned was counted, since 1970")
    at.add_metric([], datetime.fromisoformat(found["made_at"]).timestamp())
    shown = GaugeMetricFamily("matchbook_earned_impressions", "Items shown in answers", labels=["by", "name"])
    share = GaugeMetricFamily("matchbook_earned_share", "Part of all answers (J01, J02)", labels=["by", "name"])
    age = GaugeMetricFamily("matchbook_earned_age_days", "Mean age of what was shown (J09)", labels=["by", "name"])
    rates = GaugeMetricFamily("matchbook_earned_rate", "Of what was shown, with its 95% interval (C55-C57, J05-J10)",
                              labels=["rate", "by", "name", "bound"])
    for by in ("method", "route", "surface", "release", "arm"):
        groups = found["by"][by]
        for group in groups[-EARNED_RELEASES:] if by == "release" else groups:
            name = [by, group["name"]]
            shown.add_metric(name, group["impressions"])
            share.add_metric(name, group["share"])
            if group["age_days"]["value"] is not None:
                age.add_metric(name, group["age_days"]["value"])
            for rate, bound in ((r, b) for r in EARNED_RATES for b in ("low", "value", "high")):
                if group[rate][bound] is not None:
                    rates.add_metric([rate, *name, bound], group[rate][bound])
    uneven = GaugeMetricFamily("matchbook_experiment_sample_ratio_p", "Chance that arms drawn as they should be are as "
                               "uneven as these; below 0.001 the split is broken", labels=["experiment", "edition"])
    for e in found["experiments"]:
        if e["sample_ratio"]["p"] is not None:
            uneven.add_metric([e["name"], e["edition"]], e["sample_ratio"]["p"])
    yield from (at, shown, share, age, rates, uneven)
