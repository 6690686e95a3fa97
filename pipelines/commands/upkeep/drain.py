"""`drain-events`: posted events into PostgreSQL, and the filters of answers brought up to date."""

from __future__ import annotations

import argparse
import json

from models.settings import Settings
from pipelines.release.since.drain import drain_events


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step of this module to the command line."""
    drain = steps.add_parser("drain-events", help="keep posted events, bring the filters of answers up to date")
    drain.add_argument("--full", action="store_true",
                       help="read every row since the live release's cutoff again, not only what is new")
    drain.set_defaults(run=_drain)


def _drain(settings: Settings, args: argparse.Namespace) -> None:
    print(json.dumps(drain_events(settings, args.full)))
