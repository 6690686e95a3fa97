"""`drain-events`: posted events into PostgreSQL, and the filters of answers brought up to date; `prune-events`: what
was posted long ago and serves nobody any more, deleted."""

from __future__ import annotations

import argparse
import json

from models.settings import Settings
from pipelines.release.since.drain import drain_events
from pipelines.release.since.retention import prune_posted


def register_drain(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line."""
    drain = steps.add_parser("drain-events", help="keep posted events, bring the filters of answers up to date")
    drain.add_argument(
        "--full", action="store_true", help="read every row since the live release's cutoff again, not only what is new"
    )
    drain.set_defaults(run=_drain)
    prune = steps.add_parser("prune-events", help="delete what was posted long ago and serves nobody any more")
    prune.set_defaults(run=lambda settings, args: print(json.dumps(prune_posted(settings))))


def _drain(settings: Settings, args: argparse.Namespace) -> None:
    print(json.dumps(drain_events(settings, args.full)))
