"""`erase`: take a person out of everything that Matchbook keeps, or only look where they stand."""

from __future__ import annotations

import argparse
import json

from models.settings import Settings
from pipelines.data.erasure.erase import erase, looked_for
from pipelines.data.erasure.rows import person_of
from pipelines.local.airflow_process import with_metadata
from pipelines.postgres import engine, migrate


def register_erase(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step of this module to the command line."""
    step = steps.add_parser("erase", help="take a person (or a startup) out of everything; leaves a receipt")
    step.add_argument("id", help="the id of the user or startup")
    step.add_argument("--scan", action="store_true", help="change nothing: list every file and key that holds the id")
    step.set_defaults(run=_erase)


def _erase(settings: Settings, args: argparse.Namespace) -> int:
    """Exit status 1 where the id still stands somewhere."""
    migrate(engine(settings))
    settings = with_metadata(settings)
    done = {"left": looked_for(settings, person_of(settings, args.id))} if args.scan else erase(settings, args.id)
    print(json.dumps(done, indent=1))
    return int(bool(done["left"]))
