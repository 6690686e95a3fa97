"""`grants`: the rights that the reader and the pipelines need, in PostgreSQL as a script, in Redis as ACL rules."""

from __future__ import annotations

import argparse
import sys

import sql
from models.errors import SettingsError
from models.nouns.release.rights import pipeline_rights, reader_rights
from models.settings import Settings
from pipelines.postgres import engine, run_script, transaction

_REDIS = {"redis-reader": reader_rights, "redis-pipeline": pipeline_rights}


def register_grants(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step of this module to the command line."""
    step = steps.add_parser("grants", help="the rights that are needed, as SQL or ACL rules")
    step.add_argument("of", choices=[*_scripts(), *_REDIS])
    step.add_argument("--apply", action="store_true", help="run the SQL as the user of DATABASE_URL, not print it")
    step.set_defaults(run=_grants, needs_servers=False)


def _scripts() -> dict[str, str]:
    return {name.partition("/")[2].removesuffix(".sql"): script for name, script in sql.scripts("grants")}


def _grants(settings: Settings, args: argparse.Namespace) -> None:
    if args.of in _REDIS and args.apply:
        raise SettingsError("--apply is for PostgreSQL; give the printed rules to ACL SETUSER")
    if args.of in _REDIS:
        sys.stdout.write(_REDIS[args.of](settings.namespace) + "\n")
    elif args.apply:
        with transaction(engine(settings)) as connection:
            run_script(connection, _scripts()[args.of])
    else:
        sys.stdout.write(_scripts()[args.of])
