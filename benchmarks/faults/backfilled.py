"""`python -m benchmarks.faults.backfilled [--days N] [--users N] [--at-once N]`: backfill days, newest first.

Uses a real Airflow with a sample marketplace. The newest day is live before the backfill builds earlier days, some at
once, beside the usual schedules. Then some days are cleared and built again. Printed: days with a release of their
cutoff, whether repeated days give the same release, and the releases that were live.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from benchmarks.faults.builds import Place, ended, place, released, trigger
from local.airflow_api import DAG
from pipelines.publish.history import list_releases
from pipelines.redis_client import current_release
from pipelines.sample.sample import ENDS

AGAIN = 3


def main() -> int:
    """Return 1 if a day is missing or differs, or the live release is not of the newest cutoff."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.backfilled", description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=2)
    args = parser.parse_args()
    with place(args.users) as found:
        for dag in ("refresh_trending", "drain_events"):
            found.api.unpause(dag)
        trigger(found, "newest", ENDS)
        if ended(found, "newest") != "success":
            raise RuntimeError("the newest day was not built")
        newest, seen = released(found, ENDS), set[str | None]()
        runs = backfilled(found, args.days, args.at_once, seen)
        first = by_cutoff(found)
        again = random.Random(0).sample(sorted(runs), min(AGAIN, len(runs)))
        for run in again:
            found.api._ask("POST", f"/api/v2/dags/{DAG}/dagRuns/{run}/clear", {"dry_run": False, "only_failed": False})
            time.sleep(5)
            ended(found, run)
        second = by_cutoff(found)
        wrong = [cutoff for cutoff, release in second.items() if first.get(cutoff) != release]
        lines = [
            f"days asked for: {args.days}",
            f"runs that succeeded: {sum(s == 'success' for s in runs.values())}",
            f"releases, one of each cutoff: {len(first)}",
            f"days built again: {len(again)}, different: {wrong}",
            f"live while the backfill ran: {sorted(map(str, seen))}",
            f"live at the end: {current_release(found.settings)} (newest cutoff: {newest})",
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        right = seen == {newest} and current_release(found.settings) == newest and not wrong
        return int(not right or len(first) != args.days + 1)


def backfilled(found: Place, days: int, at_once: int, seen: set[str | None]) -> dict[str, str]:
    """Backfill; return the state of every day by run id, newest first. seen: receives all live releases."""
    last = ENDS.replace(hour=0) - timedelta(days=2)  # the run of a day ends at 02:00 of the next day
    body = {
        "dag_id": DAG,
        "from_date": (last - timedelta(days=days - 1)).isoformat(),
        "to_date": _noon(last),
        "run_backwards": True,
        "max_active_runs": at_once,
        "dag_run_conf": {},
        "reprocess_behavior": "none",
    }
    found.api._ask("POST", "/api/v2/backfills", body)
    while True:
        seen.add(current_release(found.settings))
        runs = _runs(found)
        if len(runs) >= days and all(state in ("success", "failed") for state in runs.values()):
            return runs
        time.sleep(2)


def by_cutoff(found: Place) -> dict[str, str]:
    return {str(r["as_of"]): str(r["release"]) for r in list_releases(found.settings)}


def _runs(found: Place) -> dict[str, str]:
    asked: Any = found.api._ask("GET", f"/api/v2/dags/{DAG}/dagRuns?run_type=backfill&limit=100")
    return {run["dag_run_id"]: run["state"] for run in asked["dag_runs"]}


def _noon(day: datetime) -> str:
    return day.replace(hour=12).isoformat()


if __name__ == "__main__":
    sys.exit(main())
