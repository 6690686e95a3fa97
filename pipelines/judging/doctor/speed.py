"""Slow answers (P07): how large the models are, how long counting takes, how far Redis is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, text

import sql
from models.errors import MatchbookError
from models.schema import INTERACTION_TYPES, Surface
from pipelines.judging.doctor.diagnosis import Diagnosis, Patient, answered, unknown
from pipelines.postgres import engine, rows, transaction
from pipelines.release.cache import connect, wrapped

_CURE = (
    "indexes on the interactions table over (user_id, occurred_at) and (startup_id, occurred_at) "
    "(docs/platform-data.md); a build, which keeps the counts of everybody (N07); fewer MATCHBOOK_READER_WORKERS "
    "or smaller models ([als] factors, [two_tower] dimensions) where memory is short; stored "
    "lists are read, not computed: only newcomers wait for a model, [reader] live_budget_s at most"
)
#: A count for one answer may take so long; a table up to so many rows may be read whole.
_COUNT_MS, _SMALL_ROWS = 50.0, 100_000
_PING_MS = 10.0
_MEMORY_SHARE = 0.5  # of the machine, for the models of all processes of the reader


def slow_answers(patient: Patient) -> Diagnosis:
    """P07."""
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
    says = "; ".join(wrong) or f"models {total / 1e6:.1f} MB, counting {times or 'nobody'}, Redis {ping_ms:.2f} ms"
    return answered("P07", title, bool(wrong), says, _CURE, figures)


def _sizes(patient: Patient) -> dict[str, int]:
    """Bytes on disk of every bundle of the release."""
    versions = patient.release.bundles if patient.release is not None else {}
    root = patient.artifacts.root / "bundles"
    return {name: _bytes_of(root / name / version) for name, version in versions.items()}


def _bytes_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _counting(patient: Patient) -> list[dict[str, Any]]:
    """The question that routes an owner, asked for the busiest user and startup, with its plan."""
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
    """Milliseconds of a question, and whether its plan reads a large table whole."""
    started = time.perf_counter()
    connection.execute(text(sql.load(query)), params).all()
    ms = 1000 * (time.perf_counter() - started)
    plan = connection.execute(text(f"EXPLAIN (FORMAT JSON) {sql.load(query)}"), params).scalar_one()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    whole = [node for node in _nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"]
    sizes = [_rows_of(connection, node["Relation Name"]) for node in whole]
    return {"ms": round(ms, 2), "reads_all": max(sizes, default=0) > _SMALL_ROWS, "rows": int(max([0.0, *sizes]))}


def _rows_of(connection: Connection, table: str) -> float:
    """As the server estimates it."""
    return float(
        connection.execute(text("SELECT reltuples FROM pg_class WHERE relname = :name"), {"name": table}).scalar() or 0
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _ping_ms(patient: Patient) -> float:
    """The fastest of five."""
    best = float("inf")
    try:
        with wrapped("timing Redis"):
            client = connect(patient.settings)
            for _ in range(5):
                started = time.perf_counter()
                client.ping()
                best = min(best, 1000 * (time.perf_counter() - started))
    except MatchbookError:
        return float("inf")
    return best
