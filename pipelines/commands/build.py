"""`build` (all steps), `score` and `publish`."""

from __future__ import annotations

import argparse
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from models import registry
from models.errors import EmptySnapshot, ReleaseNotFound
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.commands import instant
from pipelines.data.contract import check_contract
from pipelines.data.datasets import write_datasets
from pipelines.data.export import export_snapshot
from pipelines.judging.evaluate import evaluate
from pipelines.judging.gate.ruling import Case, held, rule
from pipelines.judging.gate.weigh import weigh
from pipelines.judging.report.kept import bring_up_to_date, write_report
from pipelines.learning.second_stage import train_ranker
from pipelines.learning.train import train
from pipelines.postgres import engine, migrate, newest_event
from pipelines.release.assemble import assemble_release
from pipelines.release.publish import publish_release
from pipelines.runs.cutoff import just_after, passed
from pipelines.runs.run import Run, parse_instant, slug_of
from pipelines.runs.steps import step
from pipelines.scoring.shards import plan_shards, score_shard

log = logging.getLogger(__name__)


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


def run_build(
    settings: Settings, as_of: datetime | None = None, fresh: bool = False, force: bool = False, publish: bool = True
) -> dict[str, Any]:
    """Every step in order; returns what the last one did, with the seconds of each."""
    migrate(engine(settings))
    check_contract(engine(settings))
    cutoff = passed(as_of) if as_of else default_cutoff(settings)
    run = Run.start(settings, f"build-{uuid.uuid4().hex[:12]}", cutoff, fresh)
    seconds: dict[str, float] = {}
    snapshot = _timed(run, seconds, "export", lambda: export_snapshot(run, fresh, force))["snapshot"]
    _timed(run, seconds, "datasets", lambda: write_datasets(run, snapshot))
    refs = [_timed(run, seconds, name, partial(train, run, name, snapshot)) for name in registry.bundles()]
    refs += _timed(run, seconds, "rankers", lambda: train_ranker(run, snapshot))
    bundles = {r["name"]: r["version"] for r in refs if r["version"]}
    _timed(run, seconds, "evaluate", lambda: evaluate(run, snapshot))
    return _released(run, snapshot, bundles, force, publish, seconds)


def score_newest(settings: Settings) -> dict[str, Any]:
    """Score and assemble, with the newest snapshot and the newest bundle of every kind; nothing becomes live."""
    artifacts = Artifacts(settings)
    snapshots = artifacts.stored("snapshots")
    if not snapshots:
        raise ReleaseNotFound("no snapshot is stored; run `python -m pipelines export` first")
    manifest = json.loads((snapshots[-1] / "manifest.json").read_text())
    run = Run.start(settings, f"score-{uuid.uuid4().hex[:12]}", parse_instant(manifest["as_of"]), fresh=True)
    names = [p.name for p in sorted((artifacts.root / "bundles").glob("*"))]
    before = f"{run.slug}~"  # a refresh's bundles know people who came after the snapshot
    stored = {name: [p.name for p in artifacts.stored(f"bundles/{name}") if p.name < before] for name in names}
    bundles = {name: versions[-1] for name, versions in stored.items() if versions}
    return _scored(run, snapshots[-1].name, bundles, {})


def default_cutoff(settings: Settings) -> datetime:
    """The newest plausible event plus one second, never after now. Raises EmptySnapshot without any event (P01)."""
    newest = newest_event(settings)
    if newest is None:
        raise EmptySnapshot(
            "there is no interaction to learn from; import some (`python -m pipelines import FOLDER`) "
            "or make a sample (`python -m pipelines sample`)"
        )
    return just_after(newest)


def _released(
    run: Run, snapshot: str, bundles: Mapping[str, str], force: bool, publish: bool, seconds: dict[str, float]
) -> dict[str, Any]:
    release = _scored(run, snapshot, bundles, seconds)
    weighed = _timed(run, seconds, "weigh", lambda: weigh(run, snapshot, release["release"], "command"))
    told = _timed(run, seconds, "report", lambda: write_report(run, release["release"], snapshot))
    result = {**release, "gate": weighed["verdict"], "report": told["report"]}
    if publish:
        rule(run, Case(force=force, attended=False))
        held_back = held(run, release["release"])
        if held_back:
            return {**result, "published": False, "reason": held_back}
        result |= _timed(run, seconds, "publish", lambda: publish_release(run.settings, release["release"], force))
    return result


def _scored(run: Run, snapshot: str, bundles: Mapping[str, str], seconds: dict[str, float]) -> dict[str, Any]:
    """Everybody's list, stored as a release."""
    shards = plan_shards(run, snapshot, bundles)
    done = _timed(run, seconds, "score", lambda: [score_shard(run, s) for s in shards])
    release = _timed(run, seconds, "assemble", lambda: assemble_release(run, snapshot, bundles, done))
    return {**release, "as_of": run.as_of.isoformat(), "cutoff": slug_of(run.as_of), "seconds": seconds}


def _timed(run: Run, seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    log.info("%s started", name)
    with step(run.directory, name):
        result = work()
    bring_up_to_date(run.settings.artifacts, run.directory)
    seconds[name] = round(time.perf_counter() - start, 2)
    log.info("%s done in %s s", name, seconds[name])
    return result


def _newest(settings: Settings) -> str:
    stored = Artifacts(settings).stored("releases")
    if not stored:
        raise ReleaseNotFound("no release is stored; run `python -m pipelines build`")
    return stored[-1].name


def _print(result: Mapping[str, Any]) -> None:
    print(json.dumps(result, indent=1))
