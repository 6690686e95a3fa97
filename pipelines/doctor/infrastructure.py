"""Check the infrastructure: servers, disk, Redis memory, age of lists, half-loaded keys, gate, slow answers."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, text
from sqlalchemy import text as statement

import sql
from models.errors import MatchbookError
from models.lists.redis_format import Keys
from models.lists.redis_server import evicting, unfit
from models.schema import INTERACTION_TYPES, Surface
from pipelines.doctor.diagnosis import Diagnosis, SystemState, answered, unknown
from pipelines.postgres import engine, rows, transaction
from pipelines.publish.load import MB, budget_of
from pipelines.redis_client import about, clock, connect, decoded, live_release, redis_errors
from pipelines.schedule import list_freshness

#: Below the artefact root: one line per automatic decision and per release that went live.
DECISIONS = "decisions.jsonl"
_FREE_SHARE, _FREE_GB = 0.05, 2.0
_USED_SHARE = 0.9
_DRAIN_LATE_S = 300.0


def servers_run(patient: SystemState) -> Diagnosis:
    cure = "`make up`, or start the servers that DATABASE_URL and REDIS_URL name; logs are in MATCHBOOK_HOME/logs"
    title, where = "PostgreSQL or Redis does not answer", str(patient.settings.home)
    silent = _silent(patient) if patient.running else [f"the embedded servers of {where} do not run"]
    return answered("servers", title, bool(silent), "; ".join(silent) or "both answer", cure, {"home": where})


def _silent(patient: SystemState) -> list[str]:
    found = []
    try:
        with transaction(engine(patient.settings)) as connection:
            connection.execute(statement("SELECT 1"))
    except MatchbookError as error:
        found.append(str(error))
    try:
        with redis_errors("asking whether it is there"):
            connect(patient.settings).ping()
    except MatchbookError as error:
        found.append(str(error))
    return found


def disk_space(patient: SystemState) -> Diagnosis:
    """Check whether the artefact disk has room for another build."""
    cure = (
        "free some space; [releases] keep_on_disk sets how many builds are kept, `retire_old_artifacts` deletes "
        "the others"
    )
    folder = patient.settings.artifacts if patient.settings.artifacts.exists() else patient.settings.home
    if not folder.exists():
        return unknown("disk", "The disk is nearly full", f"{folder} is not there yet", cure)
    space = shutil.disk_usage(folder)
    share, free_gb = space.free / space.total, space.free / 1e9
    figures = {"free_gb": round(free_gb, 1), "free_share": round(share, 4)}
    return answered(
        "disk",
        "The disk is nearly full",
        share < _FREE_SHARE or free_gb < _FREE_GB,
        f"{free_gb:,.1f} GB free, {share:.0%} of the disk",
        cure,
        figures,
    )


def redis_memory(patient: SystemState) -> Diagnosis:
    """Check whether Redis is close to its memory limit."""
    title, cure = (
        "Redis is nearly full",
        (
            "more memory for Redis (maxmemory, MATCHBOOK_REDIS_BUDGET_MB), fewer builds "
            "([releases] keep_in_redis), shorter lists ([lists] depth)"
        ),
    )
    if not patient.running:
        return unknown("memory", title, "Redis does not run here", cure)
    with redis_errors("measuring Redis"):
        used, limit, whose = budget_of(patient.settings, connect(patient.settings))
    figures = {"used_mb": round(used / MB, 1), "limit_mb": round(limit / MB, 1), "by": whose}
    if not limit:
        return unknown("memory", title, f"{used / MB:,.0f} MB used, {whose}", cure)
    return answered(
        "memory",
        title,
        used > _USED_SHARE * limit,
        f"{used / MB:,.0f} of {limit / MB:,.0f} MB used ({whose})",
        cure,
        figures,
    )


def redis_fits(patient: SystemState) -> Diagnosis:
    """Check that Redis is new enough, is no cluster, and evicts no keys."""
    title = "Redis does not fit"
    cure = "another server in REDIS_URL, or `CONFIG SET maxmemory-policy noeviction` (docs/guides/operate.md, Redis)"
    if not patient.running:
        return unknown("redis", title, "Redis does not run here", cure)
    with redis_errors("asking Redis about itself"):
        info = about(connect(patient.settings))
    if not info:
        return unknown("redis", title, "INFO is not allowed here", cure)
    wrong = [told for told in (unfit(info), evicting(info)) if told]
    figures = {name: info.get(name) for name in ("redis_version", "valkey_version", "maxmemory_policy", "maxmemory")}
    return answered("redis", title, bool(wrong), "; ".join(wrong) or "it does", cure, figures)


def lists_are_late(patient: SystemState) -> Diagnosis:
    """Check whether lists are live and recent."""
    title = "No lists are live, or they are old"
    cure = (
        "check the last runs of build_recommendations in Airflow; `python -m pipelines build` makes new "
        "lists, `python -m pipelines promote <release>` makes stored ones live"
    )
    if not patient.running:
        return unknown("lists", title, "the servers do not run here", cure)
    age = list_freshness(patient.settings, patient.at)
    if age.release is None:
        return answered("lists", title, True, "no release is live", cure, age.to_json())
    says = age.late or f"{age.release} is live, made {age.age_hours:.1f} h ago"
    return answered("lists", title, bool(age.late), says, cure, age.to_json())


def half_loaded(patient: SystemState) -> Diagnosis:
    """Check whether a killed publisher left half-loaded keys."""
    title = "Half-loaded lists in Redis"
    cure = "nothing reads them; the next publish, promote or rollback removes them"
    if not patient.running:
        return unknown("loading", title, "Redis does not run here", cure)
    with redis_errors("looking for half-loaded keys"):
        client, keys = connect(patient.settings), Keys(patient.settings.namespace)
        live = live_release(client, keys)
        refreshed = {live.replaces} if live else set()  # the next publish removes it
        left = sorted({decoded(v) for v in client.smembers(keys.loading)} - refreshed)
        busy = bool(client.exists(keys.publisher))
    figures = {"releases": left, "publisher_at_work": busy}
    whose = "a publisher is at work" if busy else "left by a publisher that was killed"
    says = f"{', '.join(left)}: {whose}" if left else "none"
    return answered("loading", title, bool(left) and not busy, says, cure, figures)


def drain_works(patient: SystemState) -> Diagnosis:
    """Check whether posted events wait too long, and whether the drain ran in the last minutes."""
    title = "Posted events are not drained"
    cure = "start `python -m pipelines.events`, which `make up` and the containers run, or read its log"
    if not patient.running:
        return unknown("events", title, "Redis does not run here", cure)
    with redis_errors("looking at posted events"):
        client, keys = connect(patient.settings), Keys(patient.settings.namespace)
        now_s, waiting = clock(client).timestamp(), int(client.xlen(keys.events))
        oldest: Any = client.xrange(keys.events, count=1)
        until: Any = client.hget(keys.drain, "until")
    if until is None:
        return unknown("events", title, f"{waiting:,} wait; no drain ran yet", cure)
    wait_s = max(0.0, now_s - int(oldest[0][0].split(b"-")[0]) / 1e3) if oldest else 0.0
    silent_s = max(0.0, now_s - int(until) / 1e6)
    figures = {"waiting": waiting, "oldest_s": round(wait_s, 1), "silent_s": round(silent_s, 1)}
    says = f"{waiting:,} wait, the oldest for {wait_s:,.0f} s; the drain ran {silent_s:,.0f} s ago"
    return answered("events", title, max(wait_s, silent_s) > _DRAIN_LATE_S, says, cure, figures)


def gate_said(patient: SystemState) -> Diagnosis:
    title = "The gate holds a release back"
    cure = (
        "read the report of that build (Airflow, its run, tab Report); answer there if a person is asked, or "
        "make the release live anyway with the parameter `force` or `python -m pipelines promote <release>`"
    )
    last = _last_decision(patient, "gate", "approval")
    if last is None:
        return unknown("gate", title, "the gate has decided nothing yet", cure)
    reasons = "; ".join(map(str, last.get("reasons") or ()))
    says = f"{last.get('at')}: {last.get('verdict')}" + (f", because {reasons}" if reasons else "")
    return answered("gate", title, last.get("verdict") in ("stop", "ask", "hold"), says, cure, last)


def _last_decision(patient: SystemState, *what: str) -> dict[str, Any] | None:
    path = patient.artifacts.root / DECISIONS
    for line in reversed(path.read_text().splitlines() if path.is_file() else []):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("what") in what:
            return found
    return None


_CURE = (
    "indexes on the interactions table over (user_id, occurred_at) and (startup_id, occurred_at) "
    "(docs/guides/your-data.md); a build, which stores the counts of all owners (N07); fewer MATCHBOOK_READER_WORKERS "
    "or smaller models ([als] factors, [two_tower] dimensions) if memory is short; stored "
    "lists are read, not computed: only newcomers wait for a model, [reader] live_budget_s at most"
)
#: Maximum milliseconds of one count. From this number of rows a sequential scan counts as slow.
_COUNT_MS, _SMALL_ROWS = 50.0, 100_000
_PING_MS = 10.0
_MEMORY_SHARE = 0.5  # share of the machine for the models of all reader processes


def slow_answers(patient: SystemState) -> Diagnosis:
    """Check P07: slow answers."""
    title = "Slow answers"
    if not patient.running:
        return unknown("P07", title, "the servers do not run here, so nothing was timed", _CURE)
    sizes = _sizes(patient)
    total, memory = sum(sizes.values()), psutil.virtual_memory().total
    share = total * patient.settings.reader_workers / memory
    counting, ping_ms = _counting(patient), _ping_ms(patient)
    wrong = [
        f"counting the events of the busiest {c['of']} took {c['ms']:.0f} ms" for c in counting if c["ms"] > _COUNT_MS
    ]
    wrong += [
        f"counting the events of a {c['of']} reads a whole table of {c['rows']:,} rows"
        for c in counting
        if c["reads_all"]
    ]
    wrong += (
        [f"the models of {patient.settings.reader_workers} processes of the reader may take {share:.0%} of the memory"]
        if share > _MEMORY_SHARE
        else []
    )
    wrong += [f"Redis answers after {ping_ms:.1f} ms"] if ping_ms > _PING_MS else []
    largest = dict(sorted(sizes.items(), key=lambda x: -x[1])[:5])
    figures = {
        "bundles_mb": round(total / 1e6, 1),
        "largest_mb": {k: round(v / 1e6, 2) for k, v in largest.items()},
        "counting": counting,
        "redis_ms": round(ping_ms, 3),
    }
    times = ", ".join(f"{c['of']} {c['ms']:.1f} ms" for c in counting)
    says = "; ".join(wrong) or f"models {total / 1e6:.1f} MB, counting {times or 'no owner'}, Redis {ping_ms:.2f} ms"
    return answered("P07", title, bool(wrong), says, _CURE, figures)


def _sizes(patient: SystemState) -> dict[str, int]:
    versions = patient.release.bundles if patient.release is not None else {}
    root = patient.artifacts.root / "bundles"
    return {name: _bytes_of(root / name / version) for name, version in versions.items()}


def _bytes_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _counting(patient: SystemState) -> list[dict[str, Any]]:
    """Time the query that chooses an owner's route, for the busiest user and startup; include its plan."""
    busiest: dict[str, Any] = {}
    for row in rows(engine(patient.settings), "example_owners"):
        busiest.setdefault(Surface(row.surface).owner.value, row.owner)
    found = []
    for entity, owner in busiest.items():
        params = {
            f"{entity}_id": owner,
            "as_of": patient.at,
            "earliest": patient.settings.earliest_at,
            "kinds": [t.value for t in INTERACTION_TYPES],
        }
        with transaction(engine(patient.settings)) as connection:
            found.append({"of": entity, **_asked(connection, f"counts/{entity}", params)})
    return found


def _asked(connection: Connection, query: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the milliseconds of a query and whether its plan scans a large table."""
    started = time.perf_counter()
    connection.execute(text(sql.load(query)), params).all()
    ms = 1000 * (time.perf_counter() - started)
    plan = connection.execute(text(f"EXPLAIN (FORMAT JSON) {sql.load(query)}"), params).scalar_one()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    whole = [node for node in _nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"]
    sizes = [_rows_of(connection, node["Relation Name"]) for node in whole]
    return {"ms": round(ms, 2), "reads_all": max(sizes, default=0) > _SMALL_ROWS, "rows": int(max([0.0, *sizes]))}


def _rows_of(connection: Connection, table: str) -> float:
    return float(
        connection.execute(text("SELECT reltuples FROM pg_class WHERE relname = :name"), {"name": table}).scalar() or 0
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _ping_ms(patient: SystemState) -> float:
    """Return the shortest of five pings in milliseconds."""
    best = float("inf")
    try:
        with redis_errors("timing Redis"):
            client = connect(patient.settings)
            for _ in range(5):
                started = time.perf_counter()
                client.ping()
                best = min(best, 1000 * (time.perf_counter() - started))
    except MatchbookError:
        return float("inf")
    return best
