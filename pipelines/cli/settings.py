"""`settings`: what holds, and why; and the files that are written from the declarations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from pathlib import Path

from models.recommender.surface import open_bundles, possible_rankers, serving_rankers
from models.settings.declared import DECLARED, Declared, in_toml
from models.settings.idle import conditions, idle_line, reason
from models.settings.kinds import Secret
from models.settings.load import USUAL
from models.settings.settings import Settings
from models.settings.written import page, told, toml
from pipelines.store.artifacts import Artifacts


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step of this module to the command line; it needs no server."""
    step = steps.add_parser("settings", help="every setting with its value, where that came from, and when it acts")
    step.add_argument("--release", help="those that this release was made with")
    step.add_argument("--write", action="store_true", help="make matchbook.toml and docs/settings.md of this checkout")
    step.set_defaults(run=_settings, needs_servers=False)


def _settings(settings: Settings, args: argparse.Namespace) -> None:
    if args.write:
        for path, text in written(USUAL.parent).items():
            path.write_text(text)
        return
    if args.release:
        release = Artifacts(settings).release(args.release)
        settings = settings.with_recorded(release.settings, f"recorded with {args.release}")
        bundles = open_bundles(settings.artifacts, release.bundles, settings)
        way = (settings, serving_rankers(bundles, settings))
    else:
        way = (settings, possible_rankers(settings))
    sys.stdout.writelines(line(d, *way) for d in DECLARED.values())
    sys.stderr.write(f"{idle_line([way])}\n")


def line(d: Declared, settings: Settings, rankers: Collection[str]) -> str:
    """A setting as it holds: name, value, origin, phase, what it does, when or why it has no effect. rankers: kinds of
    those that may serve."""
    value = settings.value(d.flat)
    shown = ("***" if value else '""') if isinstance(value, Secret) else in_toml(_plain(value))
    why = reason(d, settings, rankers)
    about = [settings.origin(d.flat), str(d.rule.phase), told(d), f"no effect: {why}" if why else conditions(d)]
    return f"{d.name} = {shown}  # {'; '.join(filter(None, about))}\n"


def written(checkout: Path) -> dict[Path, str]:
    """By path what the declarations say."""
    return {checkout / "matchbook.toml": toml(), checkout / "docs" / "settings.md": page()}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
