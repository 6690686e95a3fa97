"""Operations: `doctor`, `drain`, `erase`, `refresh` and `settings`."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from local.airflow import with_metadata
from local.servers import running_settings
from models.errors import EmptySnapshot
from models.recommender.surface import open_bundles, possible_rankers, serving_rankers
from models.settings.declared import DECLARED, Declared, in_toml
from models.settings.environment import Secret
from models.settings.idle import conditions, idle_line, reason
from models.settings.load import USUAL
from models.settings.settings import Settings
from models.settings.written import description_of, page, toml
from pipelines.cli import instant, person_id
from pipelines.doctor.diagnosis import State
from pipelines.doctor.doctor import as_text, diagnose
from pipelines.erase.erase import erase, looked_for
from pipelines.erase.servers import person_of
from pipelines.events.drain import drain_events
from pipelines.postgres import engine, migrate, newest_event, rows
from pipelines.refresh.refresh import refresh
from pipelines.retire import prune_posted
from pipelines.run.run import just_after, log_decision, passed
from pipelines.store.artifacts import Artifacts


def register_doctor(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    step = steps.add_parser("doctor", help="check for known problems; print figures and the fix for each")
    step.add_argument("--json", action="store_true", help="one JSON line a diagnosis")
    step.set_defaults(run=_doctor, needs_servers=False)


def _doctor(settings: Settings, args: argparse.Namespace) -> int:
    """Return 1 if a problem was found, else 0."""
    ready = running_settings(settings)
    now = datetime.now(UTC)
    found = diagnose(ready or settings, now, ready is not None)
    if args.json:
        sys.stdout.writelines(json.dumps(d.to_json()) + "\n" for d in found)
    else:
        sys.stdout.write(as_text(found))
    return int(any(d.state is State.FOUND for d in found))


def register_erase(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    step = steps.add_parser("erase", help="erase a person or startup everywhere; writes a receipt")
    step.add_argument("id", type=person_id, help="the id of the user or startup")
    step.add_argument("--scan", action="store_true", help="change nothing: list every file and key that holds the id")
    step.set_defaults(run=_erase)


def _erase(settings: Settings, args: argparse.Namespace) -> int:
    """Return 1 if the id is still stored somewhere, else 0."""
    migrate(engine(settings))
    settings = with_metadata(settings)
    done = {"left": looked_for(settings, person_of(settings, args.id))} if args.scan else erase(settings, args.id)
    print(json.dumps(done, indent=1))
    return int(bool(done["left"]))


def register_drain(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    drain = steps.add_parser("drain-events", help="store posted events and update the filters of answers")
    drain.add_argument(
        "--full", action="store_true", help="read every row since the live release's cutoff again, not only what is new"
    )
    drain.set_defaults(run=_drain)
    prune = steps.add_parser("prune-events", help="delete posted rows that are past their retention")
    prune.set_defaults(run=lambda settings, args: print(json.dumps(prune_posted(settings))))


def _drain(settings: Settings, args: argparse.Namespace) -> None:
    print(json.dumps(drain_events(settings, args.full)))


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    register_doctor(steps)
    register_drain(steps)
    register_erase(steps)
    register_settings(steps)
    parser = steps.add_parser(
        "refresh", help="make new lists for owners with new events or a new profile since the live release"
    )
    parser.add_argument("--as-of", type=instant, help="the cutoff; default: a second after the newest event or arrival")
    parser.add_argument("--no-publish", action="store_true", help="store the release without making it live")
    parser.set_defaults(run=_refresh)


def _refresh(settings: Settings, args: argparse.Namespace) -> None:
    migrate(engine(settings))
    as_of = passed(args.as_of) if args.as_of else _newest(settings)
    done = refresh(settings, f"refresh-{uuid.uuid4().hex[:12]}", as_of, not args.no_publish)
    log_decision(
        settings,
        "refresh",
        "publish" if done["published"] else "skip",
        [done["reason"]],
        release=done.get("release"),
        refreshes=done.get("refreshes"),
    )
    print(json.dumps(done, indent=1))


def _newest(settings: Settings) -> datetime:
    """Return one second after the newest plausible event or arrival, never after now.

    Raises EmptySnapshot without either.
    """
    now = datetime.now(UTC)
    arrived = rows(engine(settings), "since/newest_arrival", earliest=settings.earliest_at, as_of=now)[0].newest
    found = [at for at in (newest_event(settings), arrived) if isinstance(at, datetime)]
    if not found:
        raise EmptySnapshot(
            "there are no people and no interactions, so there is no default cutoff; give one with --as-of"
        )
    return just_after(max(found))


def register_settings(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    step = steps.add_parser("settings", help="print every setting with its value, source, and phase")
    step.add_argument("--release", help="the settings of this release")
    step.add_argument(
        "--write", action="store_true", help="write matchbook.toml and docs/reference/settings.md of this checkout"
    )
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
    """Format a setting: name, value, origin, phase, description, and when or why it has no effect.

    rankers: kinds that may serve.
    """
    value = settings.value(d.flat)
    shown = ("***" if value else '""') if isinstance(value, Secret) else in_toml(_plain(value))
    why = reason(d, settings, rankers)
    about = [
        settings.origin(d.flat),
        str(d.rule.phase),
        description_of(d),
        f"no effect: {why}" if why else conditions(d),
    ]
    return f"{d.name} = {shown}  # {'; '.join(filter(None, about))}\n"


def written(checkout: Path) -> dict[Path, str]:
    return {checkout / "matchbook.toml": toml(), checkout / "docs" / "reference" / "settings.md": page()}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
