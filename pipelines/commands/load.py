"""Getting a marketplace: `import` a data folder, or write a `sample` one."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from models.settings import Settings
from pipelines.data.load import import_folder
from pipelines.data.sample import ENDS, EVENTS_PER_USER, write_sample
from pipelines.runs.run import parse_instant

log = logging.getLogger(__name__)


def register_load(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line."""
    load = steps.add_parser("import", help="import a folder of users, startups and interactions (CSV, plain or .gz)")
    load.add_argument("folder", type=Path, help="layout: docs/platform-data.md")
    load.set_defaults(run=_import)
    sample = steps.add_parser("sample", help="write a sample marketplace with a planted truth as a data folder")
    sample.add_argument("out", type=Path, nargs="?", help="the folder; default: sample in MATCHBOOK_HOME")
    sample.add_argument("--users", type=int, default=2_000)
    sample.add_argument("--startups", type=int, default=500)
    sample.add_argument("--events-per-user", type=float, default=EVENTS_PER_USER, help="mean of a long tail")
    sample.add_argument("--seed", type=int, default=42, help="equal arguments give equal bytes")
    sample.add_argument("--ends", default=ENDS.isoformat(), help="the instant before which everything happens")
    sample.set_defaults(run=_sample, needs_servers=False)


def _sample(settings: Settings, args: argparse.Namespace) -> None:
    out = args.out or settings.home / "sample"
    counts = write_sample(out, args.users, args.startups, args.events_per_user, args.seed, parse_instant(args.ends))
    log.info("%s", ", ".join(f"{n} {name}" for name, n in counts.items()))
    print(out)


def _import(settings: Settings, args: argparse.Namespace) -> None:
    loaded = import_folder(settings, args.folder)
    for name, kept in loaded.counts.items():
        print(f"{name}\t{kept}")
    for reason, n in sorted(loaded.rejected.items(), key=lambda r: (-r[1], r[0])):
        print(f"set aside\t{n}\t{reason}")
    if loaded.rejected:
        log.warning(
            "%d rows were set aside; each stands with its line and reason in %s",
            sum(loaded.rejected.values()),
            loaded.report,
        )
