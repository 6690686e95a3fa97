"""Getting a marketplace: `import` a data folder, or write a `sample` one."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from models.settings import Settings
from pipelines.data.load import import_folder

log = logging.getLogger(__name__)


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line."""
    load = steps.add_parser("import", help="import a folder of users, startups and interactions (CSV, plain or .gz)")
    load.add_argument("folder", type=Path, help="layout: docs/platform-data.md")
    load.set_defaults(run=_import)


def _import(settings: Settings, args: argparse.Namespace) -> None:
    loaded = import_folder(settings, args.folder)
    for name, kept in loaded.counts.items():
        print(f"{name}\t{kept}")
    for reason, n in sorted(loaded.rejected.items(), key=lambda r: (-r[1], r[0])):
        print(f"set aside\t{n}\t{reason}")
    if loaded.rejected:
        log.warning("%d rows were set aside; each stands with its line and reason in %s",
                    sum(loaded.rejected.values()), loaded.report)
