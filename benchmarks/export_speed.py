"""`python -m benchmarks.export_speed [EVENTS]`: the speed of the export relative to plain COPY of the same rows.

Plain COPY writes the three contract views as CSV to /dev/null. No export can be faster. The marketplace is generated in
its own database (30 events a user, one startup for every five users).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from local.servers import servers
from models.settings.settings import Settings
from pipelines.export.export import export_snapshot
from pipelines.postgres import copy_statement, engine, migrate, transaction
from pipelines.run.run import Run

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
_DRAW = (
    """INSERT INTO users (id, role, created_at, name, headline, skills, interests, location)
       SELECT md5('u' || n)::uuid, 'developer', '2023-01-01+00', 'Person ' || n, 'Builds things that last',
              'rust python sql', 'energy health', 'Bern, CH' FROM generate_series(0, :users - 1) n""",
    """INSERT INTO startups (id, name, description, category, stage, location, created_at, views, updated_at)
       SELECT md5('s' || n)::uuid, 'Startup ' || n, repeat('words of a page ', 12), 'category ' || n % 40, 'seed',
              'Bern, CH', '2023-01-01+00', n, '2024-01-01+00' FROM generate_series(0, :startups - 1) n""",
    """INSERT INTO user_interactions
       SELECT md5('u' || (n::bigint * 7919 % :users))::uuid, md5('s' || (n::bigint * 104729 / 7 % :startups))::uuid,
              (ARRAY['view', 'click', 'like', 'dislike', 'favorite', 'apply', 'interest'])[1 + n % 7],
              timestamptz '2023-06-01+00' + n * interval '7.654321 seconds' FROM generate_series(1, :events) n""",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_speed", description=__doc__)
    parser.add_argument("events", nargs="?", type=int, default=3_000_000)
    events: int = parser.parse_args().events
    home = Path(tempfile.mkdtemp(prefix="export-speed-"))
    home.chmod(0o755)  # as root the server runs as an unprivileged account, which needs access
    try:
        with servers(Settings(home=home)) as settings:
            _draw(settings, events)
            sys.stdout.write(_table(settings, events))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _draw(settings: Settings, events: int) -> None:
    migrate(engine(settings))
    users = max(events // 30, 1)
    with transaction(engine(settings)) as connection:
        for statement in _DRAW:
            connection.execute(text(statement), {"events": events, "users": users, "startups": max(users // 5, 1)})
    with engine(settings).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))


def _table(settings: Settings, events: int) -> str:
    """Measure both in three rounds and tabulate the best, because other load only adds time."""
    rounds = [(_alone(partial(_plain, settings)), _alone(partial(_export, settings, n))) for n in range(3)]
    plain, export = (min((r[i] for r in rounds), key=lambda m: float(m["seconds"])) for i in (0, 1))
    lines = ["| | seconds | rows/s | peak MB |", "|---|---|---|---|"]
    for name, measured in (("plain COPY", plain), ("export", export)):
        rows = measured["rows"]
        lines.append(
            f"| {name} | {measured['seconds']:.2f} | {rows / measured['seconds']:,.0f} | {measured['mb']:.0f} |"
        )
    ratio = plain["seconds"] / export["seconds"]
    return "\n".join(lines) + f"\n\n{events:,} events: the export runs at {ratio:.2f} of plain COPY's speed\n"


def _plain(settings: Settings) -> int:
    with Path(os.devnull).open("wb") as sink, transaction(engine(settings)) as connection:
        views = ("matchbook_users", "matchbook_startups", "matchbook_interactions")
        return [copy_statement(connection, f"SELECT * FROM {view}", {}, sink) for view in views][-1]


def _export(settings: Settings, number: int) -> int:
    run = Run.start(settings, f"round-{number}", AS_OF, fresh=True)
    name = export_snapshot(run, fresh=True)
    manifest = json.loads((settings.artifacts / "snapshots" / name / "manifest.json").read_text())
    return int(manifest["counts"]["interactions"] + manifest["counts"]["rejected"])


def _alone(step: Callable[[], int]) -> dict[str, Any]:
    """Return seconds, rows and peak memory of a step in its own process, without imports."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        start = time.perf_counter()
        rows = step()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.write(writer, json.dumps({"seconds": seconds, "rows": rows, "mb": peak}).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return dict(json.load(answer))


if __name__ == "__main__":
    raise SystemExit(main())
