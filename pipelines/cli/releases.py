"""Make releases (`build`, `score`, `publish`); show them (`releases`, `compare`, `explain`, `check`).

`promote` and `rollback` change the live release.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from models import registry
from models.data.batch import Owners
from models.errors import BundleError, DataError, ReleaseNotFound
from models.experiments import arm_on, experiments_of
from models.list_version import ListVersion, version_of
from models.lists.release import Release
from models.recommender.explain import explain, explain_item
from models.recommender.surface import SurfaceRecommender, open_bundles, open_recommender, unserved, with_settings
from models.schema import Entity, Method, Surface
from models.settings.settings import Settings
from models.words import with_article
from pipelines.cli import entity_id, instant
from pipelines.export.checks import check_contract
from pipelines.gate.compare import compare_releases, table
from pipelines.postgres import engine, migrate
from pipelines.publish.history import list_releases, promote, release_of, rollback
from pipelines.publish.publish import publish_release
from pipelines.refresh.changes import known_events, texts_of_later
from pipelines.refs import Ref
from pipelines.run.run import parse_instant
from pipelines.run_build import run_build, score_newest
from pipelines.store.artifacts import Artifacts


def _by() -> str:
    """Return who runs the command, for the log of releases that became live."""
    try:
        return f"{getpass.getuser()}, by command"
    except (KeyError, OSError):  # a container may run as a user without a name
        return "by command"


def register_build(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = steps.add_parser(
        "build", help="export, train, evaluate, score and publish: the whole pipeline without Airflow"
    )
    build.add_argument("--as-of", type=instant, help="the cutoff; default: the newest event plus one second")
    build.add_argument(
        "--fresh", action="store_true", help="read rows and settings again even if this cutoff was built before"
    )
    build.add_argument(
        "--force", action="store_true", help="make it live despite a newer live cutoff or the gate's decision"
    )
    build.add_argument("--no-publish", action="store_true", help="store the release without making it live")
    build.set_defaults(
        run=lambda settings, args: _print(run_build(settings, args.as_of, args.fresh, args.force, not args.no_publish))
    )
    score = steps.add_parser(
        "score", help="score everybody with the newest snapshot and bundles, and store the release"
    )
    score.set_defaults(run=lambda settings, args: _print(score_newest(settings)))
    publish = steps.add_parser("publish", help="make a stored release live, unless a newer cutoff is live")
    publish.add_argument("release", nargs="?", help="default: the newest stored one")
    publish.add_argument("--force", action="store_true", help="also if a newer cutoff is live; logged")
    publish.set_defaults(
        run=lambda settings, args: _print(
            publish_release(settings, args.release or _newest(settings), args.force).as_json()
        )
    )


def _newest(settings: Settings) -> str:
    stored = Artifacts(settings).stored("releases")
    if not stored:
        raise ReleaseNotFound("no release is stored; run `python -m pipelines build`")
    return stored[-1].name


def register_compare(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    both = steps.add_parser("compare", help="compare two stored releases: lists, models, settings, evaluation")
    both.add_argument("first", metavar="RELEASE")
    both.add_argument("second", metavar="RELEASE")
    both.add_argument("--json", action="store_true", help="all figures as JSON instead of the table")
    both.set_defaults(run=_compare, needs_servers=False)


def _compare(settings: Settings, args: argparse.Namespace) -> int:
    first, second = (Artifacts(settings).release(name) for name in (args.first, args.second))
    found = compare_releases(settings, first, second)
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if args.json else table(found))
    return 0


SURFACES = [s.value for s in Surface]


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    register_build(steps)
    register_compare(steps)
    steps.add_parser("releases", help="every stored release, newest first, and which is live").set_defaults(
        run=_releases
    )
    forward = steps.add_parser("promote", help="make a stored release live, whatever its cutoff")
    forward.add_argument("release")
    forward.add_argument("--dry-run", action="store_true", help="only say what would happen, and whether there is room")
    forward.set_defaults(
        run=lambda settings, args: _print(promote(settings, args.release, dry_run=args.dry_run, by=_by()))
    )
    back = steps.add_parser("rollback", help="make the last live build that is older than the live one live again")
    back.add_argument("--dry-run", action="store_true", help="only say what would happen, and whether there is room")
    back.set_defaults(run=lambda settings, args: _print(rollback(settings, args.dry_run, _by())))
    why = steps.add_parser("explain", help="explain one owner's list, or with --item why an item is or is not in it")
    why.add_argument("surface", choices=SURFACES)
    why.add_argument("owner", type=entity_id)
    why.add_argument("--item", type=entity_id)
    why.add_argument("--release", help="default: the live one")
    why.set_defaults(run=_explain)
    check = steps.add_parser("check", help="check the contract views, and list existing, missing and damaged bundles")
    check.set_defaults(run=_check)


def _releases(settings: Settings, args: argparse.Namespace) -> None:
    for release in list_releases(settings):
        print(json.dumps(release))


def _explain(settings: Settings, args: argparse.Namespace) -> None:
    surface, release = Surface(args.surface), release_of(settings, args.release)
    recorded = settings.with_recorded(release.settings)
    bundles = open_bundles(settings.artifacts, release.bundles, recorded)
    recipe = open_recommender(surface, bundles, recorded)
    row = int(recipe.owners.ids.rows_of([args.owner])[0])
    if row < 0 or row not in recipe.owners.owners_of(surface):
        why = f"not {with_article(surface.role)}; the reader gives an empty list, or a live one after a change of role"
        if row < 0:
            why = "unknown at its cutoff; the reader answers who came later live, and nobody's id with the popular list"
        raise DataError(f"{args.owner} has no list on {surface} in release {release.id}: {why}")
    arm = arm_on(experiments_of(release.experiments), surface, args.owner)
    if arm is not None:
        recorded = arm[1].apply(recorded)
        recipe = with_settings(recipe, bundles, recorded)
    recipe, owners = _owner_of(settings, release, recipe, row)
    about = {
        "owner": args.owner,
        "release": release.id,
        "experiment": arm[0].name if arm else None,
        "arm": arm[1].name if arm else None,
        **(told := explain(recipe, owners, recorded.lists.depth)),
        **asdict(_version_of(release, surface, recorded, told)),
    }
    if args.item:
        item = int(recipe.items.ids.rows_of([args.item])[0])
        about = {k: v for k, v in about.items() if k != "list"} | {
            "item": args.item,
            **explain_item(recipe, owners, recorded.lists.depth, item),
        }
    _print(about)


def _version_of(release: Release, surface: Surface, settings: Settings, told: Mapping[str, Any]) -> ListVersion:
    """Return the version of the list that `explain` has just made again."""
    ranker = registry.ranker_code(told["ranker"]) if told["ranker"] else 0
    return version_of(surface, Method(told["method_used"]), ranker, release.bundles, settings, release.code_version)


def _owner_of(
    settings: Settings, release: Release, recipe: SurfaceRecommender, row: int
) -> tuple[SurfaceRecommender, Owners]:
    """Return the recommender and owner that made the release's list.

    For a refreshed release the owner includes later events.
    """
    sides = {e.entity: e for e in (recipe.owners, recipe.items)}
    events = known_events(settings, release, sides)
    text = texts_of_later(settings, recipe.owners, parse_instant(release.as_of))[[row]]
    owners = recipe.batch(np.array([row], np.int32), events, text.tolist())
    events = events if recipe.surface.owner is Entity.USER else events.transposed()
    return recipe.with_new_interactions(owners, events.where(events.owner == row)), owners


def _check(settings: Settings, args: argparse.Namespace) -> int:
    """Return 1 if a required bundle is missing or damaged (D23, E15) or a view breaks its contract, else 0."""
    migrate(engine(settings))
    check_contract(engine(settings))
    print(json.dumps({"contract": "the three views match their contract"}))
    artifacts, bad = Artifacts(settings), 0
    for spec in (spec for spec in registry.MODELS if spec.bundle):
        name, optional = spec.bundle, spec.optional or bool(unserved(spec.bundle, settings))
        try:
            bundle = artifacts.latest_bundle(name)
            files = sorted(p.name for p in (artifacts.root / "bundles" / name / bundle.version).iterdir())
            print(json.dumps({"bundle": name, "version": bundle.version, "state": "verified", "files": files}))
        except BundleError as error:
            bad += not optional
            print(json.dumps({"bundle": name, "state": "missing, optional" if optional else "bad", "why": str(error)}))
    return int(bad > 0)


def _print(result: Mapping[str, Any] | Ref) -> None:
    print(json.dumps(result.as_json() if isinstance(result, Ref) else result, indent=1))
