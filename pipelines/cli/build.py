"""`build` (all steps), `score` and `publish`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from models.errors import ReleaseNotFound
from models.settings.settings import Settings
from pipelines.cli import instant
from pipelines.publish.publish import publish_release
from pipelines.run_build import run_build, score_newest
from pipelines.store.artifacts import Artifacts


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line."""
    build = steps.add_parser(
        "build", help="export, train, evaluate, score and publish: the whole pipeline without Airflow"
    )
    build.add_argument("--as-of", type=instant, help="the cutoff; default: the newest event plus one second")
    build.add_argument(
        "--fresh", action="store_true", help="read rows and settings again although this cutoff was built before"
    )
    build.add_argument("--force", action="store_true", help="make it live over a newer cutoff or what the gate says")
    build.add_argument("--no-publish", action="store_true", help="store the release without making it live")
    build.set_defaults(
        run=lambda settings, args: _print(run_build(settings, args.as_of, args.fresh, args.force, not args.no_publish))
    )
    score = steps.add_parser(
        "score", help="score everybody with the newest snapshot and bundles, and store the release"
    )
    score.set_defaults(run=lambda settings, args: _print(score_newest(settings)))
    publish = steps.add_parser("publish", help="make a stored release live, unless a newer cutoff is")
    publish.add_argument("release", nargs="?", help="default: the newest stored one")
    publish.add_argument("--force", action="store_true", help="also over a newer cutoff; logged")
    publish.set_defaults(
        run=lambda settings, args: _print(publish_release(settings, args.release or _newest(settings), args.force))
    )


def _newest(settings: Settings) -> str:
    stored = Artifacts(settings).stored("releases")
    if not stored:
        raise ReleaseNotFound("no release is stored; run `python -m pipelines build`")
    return stored[-1].name


def _print(result: Mapping[str, Any]) -> None:
    print(json.dumps(result, indent=1))
