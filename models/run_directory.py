"""Names that DAGs and the reader share, and the staging directory of a run, so that a report leads back to its run."""

from __future__ import annotations

import hashlib
import re

#: The DAG whose runs are builds.
BUILD_DAG = "build_recommendations"
#: Airflow's tag of all our DAGs.
TAG = "matchbook"


def directory_of(run_id: str, dag: str = BUILD_DAG) -> str:
    """Return the name of a run's staging directory: readable, safe on every disk, unique per run id and DAG."""
    run_id = run_id if dag == BUILD_DAG else f"{dag} {run_id}"
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", run_id)[:80].strip("-")
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"
