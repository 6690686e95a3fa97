"""`import`, `sample` and `export`: read data in; write a snapshot and the required training files (E01-E03)."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import uuid
from pathlib import Path
from typing import Any

from models.als import AlsConfig
from models.settings.settings import Settings
from pipelines.cli import from_zero, instant, positive, whole
from pipelines.export.export import export_snapshot
from pipelines.export.snapshot import Snapshot
from pipelines.export.training_files import FOLDER, write_sets
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine, migrate
from pipelines.run.run import Run, passed
from pipelines.run_build import default_cutoff
from pipelines.sample.sample import ENDS, EVENTS_PER_USER, write_sample

log = logging.getLogger(__name__)


def register_load(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    load = steps.add_parser("import", help="import a folder of users, startups and interactions (CSV, plain or .gz)")
    load.add_argument("folder", type=Path, help="layout: docs/guides/your-data.md")
    load.set_defaults(run=_import)
    sample = steps.add_parser("sample", help="write a sample marketplace with known preferences as a data folder")
    sample.add_argument("out", type=Path, nargs="?", help="the folder; default: sample in MATCHBOOK_HOME")
    sample.add_argument("--users", type=whole, default=2_000)
    sample.add_argument("--startups", type=whole, default=500)
    sample.add_argument("--events-per-user", type=positive, default=EVENTS_PER_USER, help="mean of a long tail")
    sample.add_argument("--seed", type=from_zero, default=42, help="equal arguments give equal bytes")
    sample.add_argument(
        "--ends", type=instant, default=ENDS.isoformat(), help="all sample events are before this instant"
    )
    sample.set_defaults(run=_sample, needs_servers=False)


def _sample(settings: Settings, args: argparse.Namespace) -> None:
    out = args.out or settings.home / "sample"
    counts = write_sample(out, args.users, args.startups, args.events_per_user, args.seed, args.ends)
    log.info("%s", ", ".join(f"{n} {name}" for name, n in counts.items()))
    print(out)


def _import(settings: Settings, args: argparse.Namespace) -> None:
    loaded = import_folder(settings, args.folder)
    for name, kept in loaded.counts.items():
        print(f"{name}\t{kept}")
    for reason, n in sorted(loaded.rejected.items(), key=lambda r: (-r[1], r[0])):
        print(f"rejected\t{n}\t{reason}")
    if loaded.rejected:
        log.warning(
            "%d rows were rejected; %s lists each with line and reason",
            sum(loaded.rejected.values()),
            loaded.report,
        )


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    register_load(steps)
    export = steps.add_parser("export", help="freeze the rows before a cutoff and write the training files")
    export.add_argument("--as-of", type=instant, help="the cutoff; default: the newest event plus one second")
    export.add_argument("--output", type=Path, help="folder of the training files; default: beside the snapshot")
    export.add_argument("--min-interactions", type=whole, metavar="N", help="leave out people with fewer events")
    export.add_argument("--fresh", action="store_true", help="read rows and settings again even if a snapshot exists")
    export.set_defaults(run=_export)


def _export(settings: Settings, args: argparse.Namespace) -> None:
    migrate(engine(settings))
    as_of = passed(args.as_of) if args.as_of else default_cutoff(settings)
    run = Run.start(settings, f"export-{uuid.uuid4().hex[:12]}", as_of, args.fresh)
    snapshot = Snapshot.open(settings.artifacts / "snapshots" / export_snapshot(run, args.fresh))
    usual = run.settings.of(AlsConfig).min_interactions
    least = usual if args.min_interactions is None else args.min_interactions
    beside = settings.artifacts / "snapshots" / snapshot.name / (FOLDER if least == usual else f"{FOLDER}-min{least}")
    folder: Path = args.output or beside
    files = write_sets(snapshot, folder, least)
    manifest: dict[str, Any] = {
        k: snapshot.manifest[k] for k in ("as_of", "digest", "counts", "rejected", "newest_event")
    }
    result = {"snapshot": snapshot.name, **manifest, "datasets": str(folder), "files": files}
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
