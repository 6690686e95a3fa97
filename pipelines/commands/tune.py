"""`tune`: search the settings of the base models on the newest snapshot, within a budget; the next build uses them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from models.errors import DataError
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.data.snapshot import Snapshot
from pipelines.learning.tune import tune, tuned
from pipelines.learning.tune_rounds import best_table
from pipelines.runs.run import TUNING


def register_tune(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step to the command line; it needs no database."""
    parser = steps.add_parser("tune", help="search the base models' settings on the newest snapshot; resumable")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--budget", type=_seconds, default=600.0, metavar="SECONDS", help="default: 600")
    budget.add_argument("--trials", type=int, metavar="N", help="this many fits instead of a time")
    parser.add_argument("--models", nargs="+", choices=tuned(), default=tuned(), help="default: all")
    parser.add_argument("--snapshot", type=Path, help="by name or folder; default: the newest")
    parser.add_argument("--show", action="store_true", help="search nothing, print what was found")
    parser.add_argument("--json", action="store_true", help="print tuning.json instead of a table")
    parser.set_defaults(run=_tune, needs_servers=False)


def _tune(settings: Settings, args: argparse.Namespace) -> int:
    path = settings.artifacts / TUNING
    if args.show and not path.is_file():
        raise DataError(f"expected {path}, found none; run `python -m pipelines tune` first")
    found = json.loads(path.read_text()) if args.show else _searched(settings, args)
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if args.json else best_table(found))
    return 0


def _searched(settings: Settings, args: argparse.Namespace) -> dict[str, Any]:
    """With a progress bar on stderr."""
    snapshot = Snapshot.open(_named_snapshot(settings, args.snapshot))
    seconds = None if args.trials is not None else args.budget
    unit = "trial" if seconds is None else "s"
    with tqdm(total=args.trials if seconds is None else round(args.budget), unit=unit, desc="tune") as bar:

        def progress(done: float, about: str) -> None:
            bar.set_postfix_str(about, refresh=False)
            bar.update(min(round(done), bar.total) - bar.n)

        return tune(settings, snapshot, seconds, args.trials, args.models, progress)


def _named_snapshot(settings: Settings, given: Path | None) -> Path:
    if given is not None:
        return given if given.is_dir() else settings.artifacts / "snapshots" / given.name
    stored = Artifacts(settings).stored("snapshots")
    if not stored:
        raise DataError(
            f"expected a snapshot under {settings.artifacts}, found none; run `python -m pipelines export` first"
        )
    return stored[-1]


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text}")
    return number
