"""`python -m benchmarks.faults.thirty_days [--days N] [--users N] [--events N]`: growth of stored data.

Uses a small sample marketplace and a real Airflow with a simulated clock. Every day clients post events, the drain
stores them, people ask for lists, and Airflow's metadata gets 24 runs of `drain_events`, copied from a real one. Every
third day a build goes live. Then `retire_old_artifacts` runs and keeps seven days of Airflow instead of thirty. Expiry
times and file dates are moved back one day.

Printed: rows, keys, files and metrics by day. "yes": the last third is at most 5% above the third before. "levels off":
its rise is at most half of the previous rise. Exit status 1 if something grows without limit.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection, create_engine, text

from benchmarks.faults.builds import Place, place
from local.airflow import with_metadata
from local.processes import stop_together
from models.lists.redis_format import Keys
from models.schema import EventType, Surface
from models.settings.settings import Settings
from pipelines.airflow_records import clean_airflow
from pipelines.events.drain import drain_events
from pipelines.postgres import engine, transaction
from pipelines.redis_client import connect
from pipelines.retire import retire
from pipelines.run_build import run_build
from serving.app import create_app

DAY_S, HOURS, DRAIN = 86_400, 24, "drain_events"
BUILD_EVERY, KEPT, AIRFLOW_DAYS = 3, 3, 7.0
MARGIN, SLOWER = 1.05, 0.5  # for the last third of the days against the third before
#: These grow by design: posted events are history until they are pruned by age.
GROWS = ("rows of matchbook_events", "rows of matchbook_answers")
KINDS = [k.value for k in EventType if k is not EventType.IMPRESSION]


@dataclass
class Month:
    """The simulated place. start: simulated instant of day 0."""

    place: Place
    settings: Settings
    start: datetime
    users: list[str]
    startups: list[str]
    rng: random.Random
    numbers: Iterator[int] = field(default_factory=count)

    def at(self, day: int) -> datetime:
        return self.start + timedelta(days=day)


def main() -> int:
    """Return 1 if something bounded keeps growing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.thirty_days", description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--events", type=int, default=1000, help="events posted each day")
    args = parser.parse_args()
    os.environ["MATCHBOOK_AIRFLOW_KEEP_DAYS"] = str(AIRFLOW_DAYS)
    with place(args.users) as found:
        month = _begun(found, args.days)
        told = [_lived(month, day, args.events) for day in range(1, args.days + 1)]
    return _judged(told)


def _begun(found: Place, days: int) -> Month:
    """Run the drain once as a template; then stop Airflow and keep its metadata."""
    found.api.unpause(DRAIN)
    found.api.trigger(DRAIN, "first", datetime.now(UTC).isoformat(), {})
    while not _runs(found):
        time.sleep(1)
    stop_together(found.airflow)
    settings = with_metadata(found.settings).layered(
        {"airflow_keep_days": AIRFLOW_DAYS, "keep_artifacts": KEPT}, "given"
    )
    with transaction(engine(settings)) as connection:
        users, startups = (
            [str(i) for i in connection.scalars(text(f"SELECT id FROM {table} ORDER BY id"))]
            for table in ("users", "startups")
        )
    return Month(found, settings, datetime.now(UTC) - timedelta(days=days), users, startups, random.Random(0))


def _runs(found: Place) -> list[Any]:
    asked: Any = found.api._ask("GET", f"/api/v2/dags/{DRAIN}/dagRuns?state=success&limit=1")
    return list(asked["dag_runs"])


def _lived(month: Month, day: int, events: int) -> dict[str, int]:
    """Simulate one day; return the counts at its end."""
    began, settings, now = time.monotonic(), month.settings, month.at(day)
    if day % BUILD_EVERY == 1:
        run_build(settings, as_of=now, force=True)
    app = create_app(settings)
    try:
        client = app.test_client()
        _post(month, client, now, events)
        drain_events(settings)
        _ask(month, client)
        metrics = client.get("/metrics").text
    finally:
        app.extensions["matchbook"].close()
    _airflow_day(settings, now)
    _age(settings)
    retire(settings)
    clean_airflow(settings, now)
    there = _there(settings) | {"lines of /metrics": metrics.count("\n")}
    sys.stderr.write(f"day {day}: {time.monotonic() - began:.0f} s {there}\n")
    return there


def _post(month: Month, client: Any, now: datetime, events: int) -> None:
    """Post events: most of known people, some of unseen users, some repeated."""
    for _ in range(0, events, 100):
        posted = [
            {
                "event_id": f"e{next(month.numbers)}",
                "user_id": month.rng.choice(month.users),
                "startup_id": month.rng.choice(month.startups),
                "type": month.rng.choice(KINDS),
                "at": (now - timedelta(seconds=month.rng.randrange(DAY_S))).isoformat(),
            }
            for _ in range(100)
        ]
        posted[0]["user_id"] = str(_stranger(month.rng))
        answer = client.post("/api/events", json={"events": posted})
        if answer.status_code != 202:
            raise RuntimeError(answer.text)


def _stranger(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _ask(month: Month, client: Any) -> None:
    for _ in range(50):
        surface = month.rng.choice(list(Surface))
        owner = month.rng.choice([*(month.users if surface.owner == "user" else month.startups), _stranger(month.rng)])
        client.get(f"/api/recommendations/{surface}/{owner}")


def _airflow_day(settings: Settings, now: datetime) -> None:
    """Copy the real run 24 times with its dependent rows in the metadata."""
    metadata = create_engine(settings.airflow_sqlalchemy_url)
    with metadata.begin() as connection:
        mould = connection.execute(
            text(
                "SELECT id, run_id FROM dag_run WHERE dag_id = :dag AND state = 'success' AND "
                "run_id NOT LIKE 'day %' ORDER BY id LIMIT 1"
            ),
            {"dag": DRAIN},
        ).one()
        prefix = f"day {now:%Y-%m-%d} "
        _copied(
            connection,
            "dag_run",
            {"run_id": "CAST(:prefix AS text) || hour"},
            mould.run_id,
            f"generate_series(1, {HOURS}) AS hour",
            "60 * hour",
            {"prefix": prefix, "now": now},
        )
        for table in ("task_instance", "xcom", "rendered_task_instance_fields", "log"):
            _copied(
                connection,
                table,
                {"run_id": "r.run_id", "dag_run_id": "r.id"},
                mould.run_id,
                "dag_run AS r",
                "extract(epoch FROM CAST(:now AS timestamptz) - r.start_date) / 60",
                {"prefix": prefix, "now": now},
                "AND r.run_id LIKE :prefix || '%'",
            )
    metadata.dispose()


def _copied(
    connection: Connection,
    table: str,
    changed: dict[str, str],
    run: str,
    beside: str,
    minutes: str,
    values: dict[str, Any],
    more: str = "",
) -> None:
    """Copy every row of a run once for each row of `beside`, with new keys and the simulated times."""
    columns = connection.execute(
        text("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = :table"),
        {"table": table},
    )
    cells: dict[str, str] = {}
    for name, kind in columns:
        if name == "id" and kind != "uuid":
            continue
        moved = f"CASE WHEN m.{name} IS NOT NULL THEN CAST(:now AS timestamptz) - ({minutes}) * interval '1 minute' END"
        cells[name] = changed.get(name) or (
            "gen_random_uuid()" if name == "id" else moved if kind.startswith("timestamp") else f"m.{name}"
        )
    connection.execute(
        text(
            f"INSERT INTO {table} ({', '.join(cells)}) SELECT {', '.join(cells.values())} "
            f"FROM {table} AS m, {beside} WHERE m.run_id = :run AND m.dag_id = :dag {more}"
        ),
        {**values, "run": run, "dag": DRAIN},
    )


def _age(settings: Settings) -> None:
    """Move expiry times in Redis, file dates and receipt times back by a day."""
    with transaction(engine(settings)) as connection:
        connection.execute(text("UPDATE matchbook_events SET received_at = at WHERE received_at > at"))
    client = connect(settings)
    for key in client.scan_iter("*", 1000):
        left = client.ttl(key)
        if left > DAY_S:
            client.expire(key, left - DAY_S)
        elif left >= 0:
            client.unlink(key)
    for path in settings.artifacts.rglob("*"):
        known = path.stat()
        os.utime(path, (known.st_atime - DAY_S, known.st_mtime - DAY_S))


def _there(settings: Settings) -> dict[str, int]:
    client, keys = connect(settings), Keys(settings.namespace)
    files = [
        p
        for p in settings.home.rglob("*")
        if p.is_file() and p.relative_to(settings.home).parts[0] not in ("postgres", "redis", "binaries")
    ]
    since = list(client.scan_iter(f"{keys.namespace}:since:*", 1000))
    metadata = create_engine(settings.airflow_sqlalchemy_url)
    with metadata.begin() as theirs, transaction(engine(settings)) as ours:
        counted = {
            "rows of Airflow's metadata": sum(_rows(theirs, "%").values()),
            **{f"rows of {name}": n for name, n in _rows(ours, "matchbook\\_%").items()},
        }
    metadata.dispose()
    kinds = Counter(key.decode().split(":")[1] for key in client.scan_iter(f"{keys.namespace}:*", 1000))
    return (
        counted
        | {f"keys in Redis: {kind}": n for kind, n in sorted(kinds.items())}
        | {
            "keys in Redis": client.dbsize(),
            "fields of since hashes": sum(client.hlen(k) for k in since),
            "MB in Redis": client.info("memory")["used_memory"] >> 20,
            "files": len(files),
            "MB of files": sum(p.stat().st_size for p in files) >> 20,
        }
    )


def _rows(connection: Connection, like: str) -> dict[str, int]:
    tables = connection.scalars(
        text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE :names"), {"names": like}
    ).all()
    return {t: int(connection.scalar(text(f'SELECT count(*) FROM "{t}"')) or 0) for t in tables}


def _judged(told: list[dict[str, int]]) -> int:
    third, days = max(1, len(told) // 3), sorted({1, *range(5, len(told) + 1, 5), len(told)})
    sys.stdout.write(f"| what | {' | '.join(f'day {d}' for d in days)} | bounded |\n|{'---|' * (len(days) + 2)}\n")
    wrong = 0
    for what in told[-1]:
        found = [day.get(what, 0) for day in told]
        first, before, last = (
            max(part or [0]) for part in (found[: -2 * third], found[-2 * third : -third], found[-third:])
        )
        said = (
            "yes"
            if last <= before * MARGIN + 1
            else "levels off"
            if last - before <= SLOWER * (before - first)
            else "by design"
            if what in GROWS
            else "NO"
        )
        wrong += said == "NO"
        sys.stdout.write(f"| {what} | {' | '.join(f'{found[d - 1]:,}' for d in days)} | {said} |\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
