"""`export`: the snapshot of a cutoff and the seeds' training files (E01-E03)."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from models.settings import Settings
from pipelines.commands import instant
from pipelines.commands.load import register_load
from pipelines.data.datasets import FOLDER, write_sets
from pipelines.data.export import export_snapshot
from pipelines.data.snapshot import Snapshot
from pipelines.postgres import engine, migrate
from pipelines.run_build import default_cutoff
from pipelines.runs.cutoff import passed
from pipelines.runs.run import Run


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line."""
    register_load(steps)
    export = steps.add_parser("export", help="freeze the rows before a cutoff and write the training files")
    export.add_argument("--as-of", type=instant, help="the cutoff; default: the newest event plus one second")
    export.add_argument("--output", type=Path, help="folder of the training files; default: beside the snapshot")
    export.add_argument("--min-interactions", type=_count, metavar="N", help="leave out people with fewer events")
    export.add_argument(
        "--fresh", action="store_true", help="read rows and settings again although there is a snapshot"
    )
    export.set_defaults(run=_export)


def _export(settings: Settings, args: argparse.Namespace) -> None:
    migrate(engine(settings))
    as_of = passed(args.as_of) if args.as_of else default_cutoff(settings)
    run = Run.start(settings, f"export-{uuid.uuid4().hex[:12]}", as_of, args.fresh)
    snapshot = Snapshot.open(settings.artifacts / "snapshots" / export_snapshot(run, args.fresh))
    usual = run.settings.table("als").min_interactions
    least = usual if args.min_interactions is None else args.min_interactions
    beside = settings.artifacts / "snapshots" / snapshot.name / (FOLDER if least == usual else f"{FOLDER}-min{least}")
    folder: Path = args.output or beside
    files = write_sets(snapshot, folder, least)
    manifest: dict[str, Any] = {
        k: snapshot.manifest[k] for k in ("as_of", "digest", "counts", "rejected", "newest_event")
    }
    result = {"snapshot": snapshot.name, **manifest, "datasets": str(folder), "files": files}
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text}")
    return count
