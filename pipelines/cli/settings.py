"""`settings`: what holds, and why; and the files that are written from the declarations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.settings.declared import DECLARED, Declared
from models.settings.kinds import Secret
from models.settings.load import USUAL
from models.settings.settings import Settings
from models.settings.written import in_toml, page, told, toml
from pipelines.store.artifacts import Artifacts


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step of this module to the command line; it needs no server."""
    step = steps.add_parser("settings", help="every setting with its value, where that came from, and when it acts")
    step.add_argument("--release", help="those that this release was made with")
    step.add_argument(
        "--write", action="store_true", help="make matchbook.toml and docs/reference/settings.md of this checkout"
    )
    step.set_defaults(run=_settings, needs_servers=False)


def _settings(settings: Settings, args: argparse.Namespace) -> None:
    if args.write:
        for path, text in written(USUAL.parent).items():
            path.write_text(text)
        return
    if args.release:
        recorded = Artifacts(settings).release(args.release).settings
        settings = settings.with_recorded(recorded, f"recorded with {args.release}")
    sys.stdout.writelines(line(d, settings) for d in DECLARED.values())


def line(d: Declared, settings: Settings) -> str:
    """A setting as it holds: name, value, origin, phase, what it does."""
    value = settings.value(d.flat)
    shown = ("***" if value else '""') if isinstance(value, Secret) else in_toml(_plain(value))
    return f"{d.name} = {shown}  # {settings.origin(d.flat)}; {d.rule.phase}; {told(d)}\n"


def written(checkout: Path) -> dict[Path, str]:
    """By path what the declarations say."""
    return {checkout / "matchbook.toml": toml(), checkout / "docs" / "reference" / "settings.md": page()}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
