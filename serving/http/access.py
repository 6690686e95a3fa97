"""Log and count requests. The log has a pseudonym for each owner (J01, J03, J12, J14, L06)."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from models.keys import PSEUDONYM_KEY
from models.schema import Entity, Surface
from models.settings.settings import Settings
from serving.counters import exposition
from serving.http.answer_ids import KeptKey
from serving.http.callers import NOBODY, PAGES
from serving.http.events import Waiting
from serving.lists import Answer
from serving.releases import Releases, age_hours

log = logging.getLogger("matchbook.access")

REQUESTS = Counter("matchbook_requests", "Answers with a status, all routes", ["endpoint", "status"])
LISTS = Counter("matchbook_lists", "Lists served", ["surface", "route", "method", "source"])
DEGRADED = Counter("matchbook_degraded_lists", "Lists served while something was down", ["surface"])
LEFT_OUT = Counter("matchbook_left_out_places", "Places of stored lists not served: met since, or hidden", ["why"])
SECONDS = Histogram(
    "matchbook_request_seconds",
    "Time to answer; alert above 0.5 (J03)",
    ["endpoint"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2),
)


@lru_cache(maxsize=4096)
def _child(metric: Any, *labels: object) -> Any:
    """Return the metric with these labels from a cache: a lookup per request costs as much as counting."""
    return metric.labels(*labels)


class LiveRelease:
    """Collects the metrics of the live release on request: a stored gauge would keep a series per release."""

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

    def collect(self) -> Iterator[Metric]:
        held = self._releases.current
        if held is not None:
            age = 3600 * age_hours(held.release.generated_at)
            yield GaugeMetricFamily("matchbook_release_age_seconds", "Age of the release that answers", age)
            info = GaugeMetricFamily("matchbook_release_info", "The release that answers", labels=["release"])
            info.add_metric([held.id], 1)
            yield info


class Access:
    """Logs and counts every request of an app. Routes leave their answers in `g.answers`."""

    def __init__(self, settings: Settings, releases: Releases, waiting: Waiting) -> None:
        self._releases, self._waiting = releases, waiting
        self._kept = KeptKey(
            settings.pseudonym_key.reveal(),
            settings.home,
            PSEUDONYM_KEY,
            "pseudonyms in this log differ between processes, because there is no key for them",
        )
        self._own = secrets.token_bytes(32)  # random, so nobody else knows it
        for surface in Surface:
            DEGRADED.labels(surface)  # exported from the start, because a rate needs a first 0

    def attach(self, app: Flask) -> None:
        app.before_request(self._begin)
        app.after_request(self._end)

    def pseudonym(self, owner: str) -> str:
        """Return twelve hex digits, always the same for the same id and key."""
        return hashlib.blake2b(owner.encode(), key=self._kept.value or self._own, digest_size=6).hexdigest()

    def metrics(self) -> Response:
        """Return the metrics of all processes of this reader in Prometheus text format."""
        now = CollectorRegistry()
        now.register(LiveRelease(self._releases))
        numbers = exposition() + generate_latest(now) + self._waiting.numbers()
        return Response(numbers, content_type=CONTENT_TYPE_LATEST)

    def _begin(self) -> None:
        g.started, g.answers, g.caller = time.perf_counter(), (), NOBODY

    def _end(self, response: Response) -> Response:
        blueprint, _, endpoint = (request.url_rule.endpoint if request.url_rule else "none").rpartition(".")
        counted = PAGES if blueprint == PAGES else endpoint
        self.record(endpoint, response.status_code, time.perf_counter() - g.started, g.caller, g.answers, counted)
        return response

    def record(
        self, endpoint: str, status: int, seconds: float, caller: str, answers: Sequence[Answer], counted: str = ""
    ) -> None:
        """Log and count one request. counted: the endpoint in metrics, one for all pages."""
        _child(REQUESTS, counted or endpoint, status).inc()
        _child(SECONDS, counted or endpoint).observe(seconds)
        for a in answers:
            _child(LISTS, a.surface, a.listing.route, a.listing.method, a.source).inc()
            if a.trouble:
                DEGRADED.labels(a.surface).inc()
            if a.met or a.hidden:
                _child(LEFT_OUT, "met").inc(a.met)
                _child(LEFT_OUT, "hidden").inc(a.hidden)
        if log.isEnabledFor(logging.INFO):
            log.info(
                "%s",
                self._line(f"endpoint={endpoint} status={status} ms={1000 * seconds:.2f} caller={caller}", answers),
            )

    def _line(self, head: str, answers: Sequence[Answer]) -> str:
        if not answers:
            return head
        a = answers[0]
        if len(answers) > 1:
            return f"{head} surface={a.surface} lists={len(answers)} release={a.held.id}"
        owner = f' owner={self.pseudonym(a.owner)} count={a.listing.count} why="{self._why(a)}"' if a.owner else ""
        trouble = f' trouble="{a.trouble}"' if a.trouble else ""
        return (
            f"{head} surface={a.surface}{owner} route={a.listing.route} method={a.listing.method} "
            f"source={a.source} places={len(a.listing.item)} release={a.held.id}{trouble}"
        )

    def _why(self, answer: Answer) -> str:
        """Explain the route: the interaction count against the thresholds."""
        if not isinstance(answer.surface, Surface):
            return "similar"
        count, routing = answer.listing.count, answer.held.settings.routing
        cold, warm = routing.cold_start_threshold, routing.warm_user_threshold
        if count < cold:
            return f"{count} < {cold}"
        if answer.surface.owner is Entity.STARTUP:
            return f"{count} >= {cold}"
        return f"{cold} <= {count} < {warm}" if count < warm else f"{count} >= {warm}"
