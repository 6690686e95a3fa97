"""Gather what the overview shows. Every panel has one source; one that is silent costs its panel only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from models.run_directory import BUILD_DAG
from models.schema import Surface
from models.settings.settings import Settings
from serving.clients.airflow import Airflow
from serving.clients.redis import MINUTE_S, PAGE, Cache
from serving.console.actions import DAGS
from serving.console.builds import RUNNING, RUNS_MOST, SHOWN, failed_tasks, linked, progress, summaries, verdict
from serving.console.charts import chart, line
from serving.console.formats import instant
from serving.console.panel import Panel, asked
from serving.console.stored import StoredReleases
from serving.console.traffic import traffic
from serving.console.words import plain
from serving.counters import collected
from serving.http.callers import Callers
from serving.releases import Releases, age_hours

AIRFLOW_S = 0.03  # seconds that the page waits for Airflow; console.js shows later answers
RATES = ("click_through", "conversion")


class Overview:
    """Reads the sources of the overview."""

    def __init__(
        self,
        settings: Settings,
        cache: Cache,
        releases: Releases,
        stored: StoredReleases,
        callers: Callers,
        airflow: Airflow,
    ) -> None:
        self._settings, self._cache, self._releases, self._stored = settings, cache, releases, stored
        self._callers, self._airflow = callers, airflow
        self._threads = ThreadPoolExecutor(4, "console")

    def now(self) -> dict[str, Any]:
        """Return the panels of the overview by name. Airflow's are `pending` if they need longer than AIRFLOW_S."""
        until = time.monotonic() + AIRFLOW_S
        late: list[dict[str, Any]] = [
            {"running": Panel(), "questions": Panel(), "pending": True},
            {"failed": Panel(), "failed_pending": True},
            {"failing": Panel(), "failing_pending": True},
        ]
        asking = [self._threads.submit(question) for question in (self._from_airflow, self.failed, self.failing)]
        builds, engagement = asked(lambda: summaries(self._cache)), asked(self._engagement)
        known: list[Any] = builds.found or []
        panels: dict[str, Any] = {
            "live": asked(lambda: self._live(known)),
            "around": asked(self._stored.around),
            "builds": builds if builds.trouble else Panel(linked(known[:SHOWN], self._airflow)),
            "quality": builds if builds.trouble else asked(lambda: quality(known)),
            "engagement": engagement,
            "mix": asked(self._mix),
            "traffic": asked(lambda: traffic(collected())),
            "events": asked(self._events),
            "doctor": asked(self._doctor),
            "experiments": asked(lambda: self._experiments(engagement)),
        }
        for answer, instead in zip(asking, late, strict=True):
            try:
                panels |= answer.result(max(0.0, until - time.monotonic()))
            except TimeoutError:
                panels |= instead
        return panels

    def failed(self) -> dict[str, Any]:
        """Return the panel of the last failed build; empty without an Airflow."""
        return self._told("failed", self._failed)

    def failing(self) -> dict[str, Any]:
        """Return the panel of other DAGs whose last run failed; empty without an Airflow."""
        return self._told("failing", self._failing)

    def _told(self, name: str, question: Callable[[], Any]) -> dict[str, Any]:
        return {name: asked(question) if self._airflow.known else Panel(), f"{name}_pending": False}

    def building(self) -> dict[str, Any]:
        """Return the panels that Airflow answers alone, and the live release."""
        known: list[Any] = asked(lambda: summaries(self._cache)).found or []
        return self._from_airflow() | {"live": asked(lambda: self._live(known))}

    def _from_airflow(self) -> dict[str, Any]:
        """Return what runs and what waits for a person; nothing without an Airflow."""
        known = self._airflow.known
        return {
            "running": asked(self._running) if known else Panel(),
            "questions": asked(self._airflow.questions) if known else Panel(),
            "pending": False,
        }

    def _live(self, builds: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Describe the live release and what the gate said. Raises ReleaseNotFound."""
        held = self._releases.held
        build = next((b for b in builds if b["release"] == held.release.build), None)
        return {
            "id": held.id,
            "build": held.release.build,
            "refreshes": max(0, len(held.release.parts) - 1),
            "as_of": held.release.as_of,
            "generated_at": held.release.generated_at,
            "stale": age_hours(held.release.generated_at) > self._settings.reader.stale_hours,
            "lists": dict(held.release.lists),
            "said": verdict(build) if build else None,
            "gate": build,
            "report_at": self._airflow.report_address(held.release.build) if build else "",
            "went": self._stored.went_live(held.id),
            "trouble": self._releases.trouble,
        }

    def _running(self) -> dict[str, Any] | None:
        """Describe the build that runs now, or return None. Raises ServiceError."""
        active = self._airflow.runs([BUILD_DAG], RUNS_MOST, *RUNNING)
        if not active:
            return None
        run = next((r for r in reversed(active) if r["state"] == "running"), active[-1])
        tasks = self._airflow.tasks(BUILD_DAG, run["dag_run_id"])
        builds: list[Any] = asked(lambda: summaries(self._cache)).found or []
        last = max(builds, key=lambda b: b["generated_at"], default=None)
        return progress(run, tasks, last, datetime.now(UTC)) | {
            "id": run["dag_run_id"],
            "run_at": self._airflow.run_address(BUILD_DAG, run["dag_run_id"]),
            "waiting": len(active) - 1,
        }

    def _failed(self) -> dict[str, Any] | None:
        """Describe the last build that failed, or return None. Raises ServiceError."""
        run = next(iter(self._airflow.runs([BUILD_DAG], 1, "failed")), None)
        if run is None:
            return None
        builds: list[Any] = asked(lambda: summaries(self._cache)).found or []
        at = run["end_date"] or run["run_after"]
        return {
            "id": run["dag_run_id"],
            "at": at,
            "tasks": failed_tasks(self._airflow.tasks(BUILD_DAG, run["dag_run_id"])),
            "run_at": self._airflow.run_address(BUILD_DAG, run["dag_run_id"]),
            "report_since": any(instant(b["generated_at"]) > instant(at) for b in builds),
        }

    def _failing(self) -> list[dict[str, Any]]:
        """Describe the last run of each DAG other than the build that failed last. Raises ServiceError."""
        found = []
        for each in self._airflow.failing():
            dag, run = each["dag"], each["run"] or {}
            run_id = run.get("dag_run_id", "")
            found.append(
                {
                    "dag": dag,
                    "about": each["about"],
                    "at": run.get("end_date") or run.get("run_after"),
                    "log_at": f"/actions/runs/{dag}/{quote(run_id, safe='')}" if run_id and dag in DAGS else "",
                    "run_at": self._airflow.run_address(dag, run_id),
                }
            )
        return found

    def _engagement(self) -> dict[str, Any] | None:
        """Return the newest engagement figures, or None before the first run of measure_answers."""
        stored = self._cache.get(self._cache.keys.earnings, PAGE)
        if stored is None:
            return None
        found = json.loads(stored)
        days = [d for d in found["by"]["day"] if d["impressions"]]
        names = [d["name"] for d in days]
        lines = [line(rate.replace("_", "-"), [d[rate] for d in days]) for rate in RATES]
        return {
            "made_at": found["made_at"],
            "window_days": found["window_days"],
            "all": _group(found["all"] | {"name": "all"}),
            "method": [_group(g) for g in found["by"]["method"]],
            "arm": [_group(g) for g in found["by"]["arm"]],
            "experiments": found["experiments"],
            "chart": chart("Click-through and conversion by day", names, lines, "percent"),
        }

    def _mix(self) -> list[dict[str, Any]]:
        """Return for each surface with lists in the live release the shares of routes and of methods, largest first."""
        held = self._releases.held.release
        shares = {surface.value: held.shares.get(surface.value) or {} for surface in Surface}
        return [
            {"surface": name, **{kind: _ordered(found.get(kind) or {}) for kind in ("route", "method")}}
            for name, found in shares.items()
            if found.get("method")
        ]

    def _events(self) -> dict[str, Any]:
        """Return the events of the last full minute, those that wait, and when the drain last ran."""
        keys, minute = self._cache.keys, int(time.time()) // MINUTE_S - 1
        waiting, oldest_s = self._cache.waiting()
        posted = self._cache.get_many([keys.posted(caller, minute) for caller in self._callers.ids()], PAGE)
        drain = self._cache.whole(keys.drain)
        until = int(drain.get(b"until", 0)) / 1e6
        return {
            "a_minute": sum(int(n) for n in posted if n),
            "waiting": waiting,
            "oldest_s": oldest_s,
            "drained": int(drain.get(b"drained", 0)),
            "rejected": int(drain.get(b"set_aside", 0)),
            "drained_ago_s": max(0.0, time.time() - until) if until else None,
        }

    def _doctor(self) -> dict[str, Any] | None:
        stored = self._cache.get(self._cache.keys.doctor, PAGE)
        if stored is None:
            return None
        found = json.loads(stored)
        findings = [{k: f[k] for k in ("title", "state", "says", "cure")} for f in found["findings"]]
        return {"made_at": found["made_at"], "findings": findings}

    def _experiments(self, engagement: Panel) -> list[dict[str, Any]]:
        """Return the experiments of the live release, with measured figures where there are some."""
        measured = {(e["name"], e["edition"]): e for e in (engagement.found or {}).get("experiments", [])}
        return [
            {**dict(e), "measured": measured.get((e["name"], e.get("edition", "")))}
            for e in self._releases.held.release.experiments
        ]


def quality(builds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a chart of NDCG@10 for each surface: what was served, and popular lists as the floor."""
    ordered = sorted(builds, key=lambda b: (b["as_of"], b["generated_at"]))
    found = []
    for surface in Surface:
        points = [(b["as_of"], b["quality"][surface.value]) for b in ordered if b["quality"].get(surface.value)]
        if points:
            lines = [line(name, [q.get(name) for _, q in points]) for name in ("served", "popular")]
            found.append(chart(plain(surface.value), [at for at, _ in points], lines))
    return found


def _group(figures: dict[str, Any]) -> dict[str, Any]:
    """Return what the overview shows of a group of answers. Raises KeyError if another version wrote it."""
    return {k: figures[k] for k in ("name", "impressions", "owners", *RATES)}


def _ordered(shares: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: -pair[1])
