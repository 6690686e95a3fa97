"""`airflow …`: Airflow's own command line, against the Airflow that `make up` runs; `worker-env` for more machines."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from models.settings import Settings
from pipelines.local.airflow_process import CHECKOUT, airflow_environment, shared_environment


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line."""
    step = steps.add_parser("airflow", help="Airflow's own command line: `airflow backfill create …` and all else")
    step.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="as `airflow` takes them")
    step.set_defaults(run=_run)
    worker = steps.add_parser(
        "worker-env", help="what a worker on another machine must be given, as lines for a shell; secrets among it"
    )
    worker.set_defaults(run=_worker_env)


def _run(settings: Settings, args: argparse.Namespace) -> int:
    """The exit status of the airflow command; it finds its metadata, secrets and DAGs as the running processes do."""
    program = Path(sys.executable).with_name("airflow")
    return subprocess.run([program, *args.words], env=airflow_environment(settings), cwd=CHECKOUT).returncode


def _worker_env(settings: Settings, args: argparse.Namespace) -> None:
    for name, value in shared_environment(settings).items():
        print(f"export {name}={shlex.quote(value)}")
