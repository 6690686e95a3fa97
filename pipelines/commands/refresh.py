"""`refresh`: between builds, new lists for those of whom something new is known; the others stay as they are."""

from __future__ import annotations

import argparse
import json
import uuid
from datetime import UTC, datetime

from models.errors import EmptySnapshot
from models.settings import Settings
from pipelines.commands import instant
from pipelines.commands.upkeep.doctor import register_doctor
from pipelines.commands.upkeep.drain import register_drain
from pipelines.commands.upkeep.erase import register_erase
from pipelines.postgres import engine, migrate, newest_event, rows
from pipelines.runs.cutoff import just_after, passed
from pipelines.runs.decisions import decided
from pipelines.scoring.refresh.steps import refresh


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step to the command line."""
    register_doctor(steps)
    register_drain(steps)
    register_erase(steps)
    parser = steps.add_parser("refresh", help="new lists for whoever did something or came since the live release")
    parser.add_argument("--as-of", type=instant, help="the cutoff; default: a second after the newest event or arrival")
    parser.add_argument("--no-publish", action="store_true", help="store the release without making it live")
    parser.set_defaults(run=_refresh)


def _refresh(settings: Settings, args: argparse.Namespace) -> None:
    migrate(engine(settings))
    as_of = passed(args.as_of) if args.as_of else _newest(settings)
    done = refresh(settings, f"refresh-{uuid.uuid4().hex[:12]}", as_of, not args.no_publish)
    decided(
        settings,
        "refresh",
        "publish" if done["published"] else "skip",
        [done["reason"]],
        release=done.get("release"),
        refreshes=done.get("refreshes"),
    )
    print(json.dumps(done, indent=1))


def _newest(settings: Settings) -> datetime:
    """A second after the newest plausible event or arrival, never after now. Raises EmptySnapshot without either."""
    now = datetime.now(UTC)  # noqa: TID251 who comes later has not come
    arrived = rows(engine(settings), "since/newest_arrival", earliest=settings.earliest_at, as_of=now)[0].newest
    found = [at for at in (newest_event(settings), arrived) if isinstance(at, datetime)]
    if not found:
        raise EmptySnapshot("there is nobody and no interaction, so there is no cutoff; give one with --as-of")
    return just_after(max(found))
