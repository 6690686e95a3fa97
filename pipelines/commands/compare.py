"""`compare`: how two stored releases differ."""

from __future__ import annotations

import argparse
import json
import sys

from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.judging.gate.compared import compared, table


def register_compare(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step of this module to the command line; it reads files only."""
    both = steps.add_parser("compare", help="two stored releases side by side: lists, models, settings, worth")
    both.add_argument("first", metavar="RELEASE")
    both.add_argument("second", metavar="RELEASE")
    both.add_argument("--json", action="store_true", help="all figures as JSON instead of the table")
    both.set_defaults(run=_compare, needs_servers=False)


def _compare(settings: Settings, args: argparse.Namespace) -> int:
    first, second = (Artifacts(settings).release(name) for name in (args.first, args.second))
    found = compared(settings, first, second)
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if args.json else table(found))
    return 0
