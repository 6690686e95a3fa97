"""`experiments`: list experiments, show the shares of their arms, and measure engagement."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.errors import MatchbookError
from models.experiments import read_experiments
from models.settings.settings import Settings
from pipelines.cli import instant
from pipelines.engagement.measure import keep, measure
from pipelines.postgres import engine, migrate
from pipelines.publish.history import release_of


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = steps.add_parser(
        "experiments", help="experiments of the next build and of a release, and the engagement of their arms"
    )
    verbs = show.add_subparsers(dest="verb", metavar="VERB")
    show.set_defaults(run=_show, release=None)
    check = verbs.add_parser("check", help="check a file of experiments")
    check.add_argument("file", type=Path, nargs="?", help="default: what MATCHBOOK_EXPERIMENTS names")
    check.set_defaults(run=_check, needs_servers=False)
    both = verbs.add_parser("show", help="those of the next build and of a release, with the size of every arm")
    both.add_argument("--release", help="default: the live one")
    both.set_defaults(run=_show)
    count = verbs.add_parser("measure", help="measure the engagement of answers by method, surface, release and arm")
    count.add_argument("--as-of", type=instant, help="use events before this instant; default: now")
    count.add_argument("--json", action="store_true", help="all figures, not only the tables")
    count.add_argument(
        "--keep", action="store_true", help="also store the result for the report and /metrics, as the hourly DAG does"
    )
    count.set_defaults(run=_measure)


def _check(settings: Settings, args: argparse.Namespace) -> None:
    if args.file is not None:
        settings = Settings.from_env({"MATCHBOOK_EXPERIMENTS": str(args.file)})
    for e in read_experiments(settings):
        print(json.dumps(e.as_json() | {"edition": e.edition}))


def _show(settings: Settings, args: argparse.Namespace) -> None:
    shown: dict[str, Any] = {"next_build": [e.as_json() | {"edition": e.edition} for e in read_experiments(settings)]}
    try:
        release = release_of(settings, args.release)
        shown |= {"release": release.id, "experiments": list(release.experiments)}
    except MatchbookError as error:
        if args.release:
            raise
        shown |= {"release": None, "experiments": [], "note": str(error)}
    print(json.dumps(shown, indent=1))


def _measure(settings: Settings, args: argparse.Namespace) -> None:
    migrate(engine(settings))
    as_of = args.as_of or datetime.now(UTC)
    found = measure(settings, as_of)
    if args.keep:
        keep(settings, found)
    print(json.dumps(found, indent=1) if args.json else _table(found))


def _table(found: dict[str, Any]) -> str:
    """Format the figures, one group a line: name, counts, and each rate in percent with its interval."""
    lines = [
        f"answers shown from {found['since']} to {found['made_at']}, "
        f"events within {found['attribution_days']:g} days of it; {found['unshown_acts']} events without a recorded "
        "impression"
    ]
    names = ("click_through", "conversion", "application", "satisfaction", "precision_at_10")
    titles = "".join(f"{n.replace('_', ' '):>24}" for n in names)
    lines.append(f"{'':34}{'owners':>8}{'shown':>9}{titles}{'age':>8}")
    for kind, groups in {"": [found["all"] | {"name": "all"}], **found["by"]}.items():
        for g in groups:
            rates = "".join(f"{_percent(g[n]):>24}" for n in names)
            age = g["age_days"]["value"]
            lines.append(
                f"{(kind + ' ' + g['name']).strip():34}{g['owners']:8}{g['impressions']:9}{rates}"
                + (f"{age:8.1f}" if age is not None else f"{'':8}")
            )
    for e in found["experiments"]:
        owners = ", ".join(f"{a['name']} {a['owners']}" for a in e["arms"])
        lines.append(
            f"experiment {e['name']} ({e['edition']}), {e['days']} days: {owners} owners; " + e["sample_ratio"]["says"]
        )
        lines += [f"  {d['says']}" for d in e["differences"]]
    return "\n".join(lines)


def _percent(rate: dict[str, Any]) -> str:
    if rate["value"] is None:
        return "-"
    return f"{100 * rate['value']:.2f}% [{100 * rate['low']:.2f}, {100 * rate['high']:.2f}]"
