"""`migrate`, `first-build`, `copy-artifacts`: for whoever starts or moves the parts without `make up`."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.settings import Settings
from pipelines.local import builds
from pipelines.local.first_build import airflow_here, begin_serving
from pipelines.postgres import engine, migrate
from pipelines.runs.moved import copy_artifacts


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line."""
    schema = steps.add_parser("migrate", help="bring the database to the newest schema; again is a no-op")
    schema.set_defaults(run=_migrate)
    first = steps.add_parser(
        "first-build",
        help="the first lists through the Airflow that runs, unless some are live, then every DAG by its schedule",
    )
    first.set_defaults(run=_first_build)
    copy = steps.add_parser(
        "copy-artifacts",
        help="what was stored in another folder into the place that MATCHBOOK_ARTIFACTS names now; again is a no-op",
    )
    copy.add_argument("folder", type=Path, help="the old place: `artifacts` in MATCHBOOK_HOME, or a directory")
    copy.set_defaults(run=_copy_artifacts, needs_servers=False)


def _migrate(settings: Settings, args: argparse.Namespace) -> None:
    for name in migrate(engine(settings)):
        print(name)


def _first_build(settings: Settings, args: argparse.Namespace) -> int:
    api = airflow_here(settings)
    builds.prepare_dags(api, _nothing_of_ours)
    return 0 if begin_serving(settings, api, _say, _nothing_of_ours) else 1


def _copy_artifacts(settings: Settings, args: argparse.Namespace) -> None:
    for path in copy_artifacts(settings, args.folder.expanduser().absolute()):
        print(path)


def _nothing_of_ours() -> None:
    """Airflow's processes were started by somebody else, who watches them."""


def _say(text: str) -> None:
    print(text, flush=True)
