"""Run the steps of a build: all in order for the command, or one for a task."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from models import registry
from models.errors import EmptySnapshot, ReleaseNotFound
from models.settings.settings import Settings
from models.spec import Stage
from pipelines import refs
from pipelines.build import BUILD, STEPS, Step
from pipelines.export.checks import check_contract
from pipelines.postgres import engine, migrate, newest_event
from pipelines.refs import BuildRef, Ref
from pipelines.report.store import measured
from pipelines.run.run import Run, begin, just_after, parse_instant, passed, slug_of
from pipelines.run.timings import steps_of
from pipelines.store.artifacts import Artifacts

log = logging.getLogger(__name__)


def run_build(
    settings: Settings, as_of: datetime | None = None, fresh: bool = False, force: bool = False, publish: bool = True
) -> dict[str, Any]:
    """Run every step. Return the last results, with the seconds of each step by task id."""
    migrate(engine(settings))
    check_contract(engine(settings))
    cutoff = passed(as_of) if as_of else default_cutoff(settings)
    name, first = f"build-{uuid.uuid4().hex[:12]}", STEPS[0]
    with measured(settings, name, first.id):
        build = begin(settings, name, cutoff, fresh=fresh)
    options = {"force": force, "publish": publish, "surfaces": None, "kind": "command"}
    found = walk(STEPS[1:], Run.open(settings, name), build, options)
    weighed = found["release.weigh"]
    more = {"gate": weighed.verdict, "report": found["release.write_report"].report}
    return {**_told(settings, build, found), **more, **found["release.publish"].as_json()}


def score_newest(settings: Settings) -> dict[str, Any]:
    """Score and assemble with the newest snapshot and bundles. Nothing becomes live."""
    artifacts = Artifacts(settings)
    snapshots = artifacts.stored("snapshots")
    if not snapshots:
        raise ReleaseNotFound("no snapshot is stored; run `python -m pipelines export` first")
    manifest = json.loads((snapshots[-1] / "manifest.json").read_text())
    run = Run.start(settings, f"score-{uuid.uuid4().hex[:12]}", parse_instant(manifest["as_of"]), fresh=True)
    names = [p.name for p in sorted((artifacts.root / "bundles").glob("*"))]
    before = f"{run.slug}~"  # bundles of a refresh include people newer than the snapshot
    stored = {name: [p.name for p in artifacts.stored(f"bundles/{name}") if p.name < before] for name in names}
    bundles = {name: versions[-1] for name, versions in stored.items() if versions}
    build = run.reference(fresh=True, snapshot=snapshots[-1].name, bundles=bundles)
    steps = [s for s in STEPS if s.id.startswith("score.") or s.id == "release.assemble"]
    return _told(settings, build, walk(steps, run, build, {"surfaces": None}))


def default_cutoff(settings: Settings) -> datetime:
    """Return the newest plausible event plus one second, never after now. Raises EmptySnapshot without events (P01)."""
    newest = newest_event(settings)
    if newest is None:
        raise EmptySnapshot(
            "expected at least one interaction, found none; import some (`python -m pipelines import FOLDER`) "
            "or make a sample (`python -m pipelines sample`)"
        )
    return just_after(newest)


def walk(steps: Sequence[Step], run: Run, build: BuildRef, options: Mapping[str, Any]) -> dict[str, Any]:
    """Run steps in order. Return each result by step id, and the latest build reference as BUILD."""
    found: dict[str, Any] = {BUILD: build}
    for s in (s for s in steps if s.command):
        given = [found[name] for name in s.takes]
        log.info("%s started", s.id)
        found[s.id] = _of_each(s, run, given, found, options) if s.each else _done(s, run, given, options, s.id, None)
        if s.gives == "BuildRef":
            found[BUILD] = found[s.id]
        log.info("%s done", s.id)
    return found


def run_task(s: Step, run: Run, task: str, index: int | None, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Run one step for a task, with references as JSON. given: in the order of `takes`, then the item."""
    names = [*s.takes, s.each] if s.each else s.takes
    known = [_read(name, value) for name, value in zip(names, given, strict=True)]
    return _written(_done(s, run, known, options, task, index))


def _done(s: Step, run: Run, given: Sequence[Any], options: Mapping[str, Any], task: str, index: int | None) -> Any:
    with measured(run.settings, run.id, task, index):
        return s.function()(run, *given, **{name: options[name] for name in s.options})


def _of_each(
    s: Step, run: Run, given: Sequence[Any], found: Mapping[str, Any], options: Mapping[str, Any]
) -> list[Any]:
    if s.each == "models":
        models = registry.staged(Stage.BASE)
        return [_done(s, run, [*given, m.bundle], options, f"{s.id}.{m.name}", None) for m in models]
    return [_done(s, run, [*given, item], options, s.id, i) for i, item in enumerate(found[s.each])]


def _read(step: str, value: Any) -> Any:
    kind = "BuildRef" if step == BUILD else next((s.gives for s in STEPS if s.id == step), "")
    if not kind:
        return value
    ref: type[Ref] = getattr(refs, kind)
    return ref.from_json(value) if isinstance(value, Mapping) else [ref.from_json(v) for v in value]


def _written(result: Any) -> Any:
    if isinstance(result, Ref):
        return result.as_json()
    return [_written(r) for r in result] if isinstance(result, list | tuple) else result


def _told(settings: Settings, build: BuildRef, found: Mapping[str, Any]) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    for line in steps_of(settings.artifacts / "runs" / build.run):
        seconds[line["step"]] = round(seconds.get(line["step"], 0.0) + line["wall_s"], 2)
    cutoff = slug_of(parse_instant(build.as_of))
    return {**found["release.assemble"].as_json(), "as_of": build.as_of, "cutoff": cutoff, "seconds": seconds}
