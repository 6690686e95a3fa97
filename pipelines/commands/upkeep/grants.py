"""`grants`: the rights that the reader and the pipelines need in PostgreSQL, as a script to read, pipe or apply."""

from __future__ import annotations

import argparse
import sys

import sql
from models.settings import Settings
from pipelines.postgres import engine, run_script, transaction


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step of this module to the command line."""
    step = steps.add_parser("grants", help="the rights of the roles matchbook_reader and matchbook_pipeline, as SQL")
    step.add_argument("role", choices=sorted(name.partition("/")[2].removesuffix(".sql") for name, _ in
                                             sql.scripts("grants")))
    step.add_argument("--apply", action="store_true", help="run it as the user of DATABASE_URL instead of printing it")
    step.set_defaults(run=_grants, needs_servers=False)


def _grants(settings: Settings, args: argparse.Namespace) -> None:
    script = dict(sql.scripts("grants"))[f"grants/{args.role}.sql"]
    if args.apply:
        with transaction(engine(settings)) as connection:
            run_script(connection, script)
    else:
        sys.stdout.write(script)
