"""`train-als`, `train-als-reverse`, `train-two-tower`, `train-content`: fit one model (E04-E06).

`tune`, `train-ranker`, `ranking-set` and `evaluate` also use the newest snapshot.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from models import als, registry
from models.data.bundle import Bundle, write_bundle
from models.errors import DataError
from models.mlp_ranker.fit import RANKER, fit_mlp_ranker
from models.ranker import RankerConfig
from models.setting import rules
from models.settings.declared import declared
from models.settings.settings import Settings
from models.spec import ModelSpec, flat_names
from pipelines.cli import UsageError, checked, instant, number, positive, whole
from pipelines.evaluate.evaluate import REPORT, evaluate, table
from pipelines.export.snapshot import Snapshot, read_manifest
from pipelines.run.run import TUNING, Run, parse_instant, slug_of
from pipelines.store.artifacts import Artifacts
from pipelines.train.holdout import open_holdout
from pipelines.train.single_model import split_test
from pipelines.train.train import fit
from pipelines.train.tune import best_table, tune, tuned
from pipelines.train_ranker.mlp_samples import ranking_set, read_rows
from pipelines.train_ranker.second_stage import train_ranker


@dataclass(frozen=True)
class Option:
    """An option that replaces a setting for one run. flat: the setting's name; about: its description."""

    name: str
    flat: str
    about: str


def options_of(spec: ModelSpec) -> tuple[Option, ...]:
    """Return the options of a model's command: a field of its table, "option=field", or "option=table.field"."""
    found = []
    for text in spec.command[1:]:
        option, _, field = text.partition("=")
        table, _, name = (field or option).rpartition(".")
        config = registry.tables().get(table or spec.table_name)
        if config is None:  # the setting belongs to no model and has the given name
            found.append(Option(option, name, f"replaces the setting {name}"))
        else:
            found.append(Option(option, flat_names(table or spec.table_name, config)[name], rules(config)[name].doc))
    return tuple(found)


def register_train(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for spec in (spec for spec in registry.MODELS if spec.command):
        about = f"train {spec.title.rstrip('.')}, on the newest snapshot; prints the bundle and its files"
        parser, options = steps.add_parser(spec.command[0], help=about), options_of(spec)
        at = parser.add_mutually_exclusive_group()
        at.add_argument("--as-of", type=instant, help="the newest snapshot of this cutoff")
        at.add_argument("--data", type=Path, metavar="SNAPSHOT", help="a snapshot by name or folder")
        for option in options:
            read = checked(partial(declared(option.flat).of_text, name="the value"))
            value = parser.add_argument(f"--{option.name}", dest=option.flat, metavar="VALUE", help=option.about)
            value.type, value.default = read, argparse.SUPPRESS
        if spec.source and not spec.cheap:  # not the content model: it serves owners without events
            parser.add_argument(
                "--test-split",
                type=number(float, "a share from 0 to below 1, such as 0.2", lambda x: 0 <= x < 1),
                default=None,
                metavar="SHARE",
                help=("first evaluate the model on the last SHARE of the events (0.2 for train-als, C25; 0: do not)"),
            )
        parser.set_defaults(run=partial(_train, spec.bundle, options), needs_servers=False)


def _train(name: str, options: tuple[Option, ...], settings: Settings, args: argparse.Namespace) -> int:
    given = {option.flat: getattr(args, option.flat) for option in options if hasattr(args, option.flat)}
    settings = settings.layered(given, "command line")
    snapshot = Snapshot.open(_snapshot(settings, args.as_of, args.data))
    usual = settings.holdout.share if name == als.SPEC.bundle else 0.0
    split = getattr(args, "test_split", 0.0)
    share = usual if split is None else split
    report = {"test": split_test(name, snapshot, settings, share)} if share else {}
    bundle = fit(name, snapshot, settings)
    version = Artifacts(settings).store_bundle(bundle, slug_of(parse_instant(snapshot.manifest["as_of"])))
    folder = settings.artifacts / "bundles" / name / version
    files = sorted(str(p) for p in folder.iterdir())
    result = {
        "name": name,
        "version": version,
        "snapshot": snapshot.name,
        **report,
        "config": dict(bundle.config),
        "files": files,
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0


def _snapshot(settings: Settings, as_of: datetime | None, given: Path | None) -> Path:
    """Return the folder of the wanted snapshot, by default the newest. Raises DataError."""
    if given is not None:
        return given if given.is_dir() else settings.artifacts / "snapshots" / given.name
    stored = Artifacts(settings).stored("snapshots")
    if as_of is not None:
        stored = [p for p in stored if p.name.rsplit("-", 1)[0] == slug_of(as_of)]
    if not stored:
        wanted = f" of {as_of.isoformat()}" if as_of else ""
        raise DataError(
            f"expected a snapshot{wanted} under {settings.artifacts}, found none; run `python -m pipelines "
            f"export{f' --as-of {as_of.isoformat()}' if as_of else ''}` first"
        )
    return stored[-1]


def register_tune(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = steps.add_parser("tune", help="tune the base models' settings on the newest snapshot; resumable")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--budget", type=positive, default=600.0, metavar="SECONDS", help="default: 600")
    budget.add_argument("--trials", type=whole, metavar="N", help="number of fits instead of a time")
    parser.add_argument("--models", nargs="+", choices=tuned(), default=tuned(), help="default: all")
    parser.add_argument("--snapshot", type=Path, help="by name or folder; default: the newest")
    parser.add_argument("--show", action="store_true", help="only print the stored results")
    parser.add_argument("--json", action="store_true", help="print tuning.json instead of a table")
    parser.set_defaults(run=_tune, needs_servers=False)


def _tune(settings: Settings, args: argparse.Namespace) -> int:
    path = settings.artifacts / TUNING
    if args.show and not path.is_file():
        raise DataError(f"expected {path}, found none; run `python -m pipelines tune` first")
    found = json.loads(path.read_text()) if args.show else _searched(settings, args)
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if args.json else best_table(found))
    return 0


def _searched(settings: Settings, args: argparse.Namespace) -> dict[str, Any]:
    snapshot = Snapshot.open(_named_snapshot(settings, args.snapshot))
    seconds = None if args.trials is not None else args.budget
    unit = "trial" if seconds is None else "s"
    with tqdm(total=args.trials if seconds is None else round(args.budget), unit=unit, desc="tune") as bar:

        def progress(done: float, about: str) -> None:
            bar.set_postfix_str(about, refresh=False)
            bar.update(min(round(done), bar.total) - bar.n)

        return tune(settings, snapshot, seconds, args.trials, args.models, progress)


def _named_snapshot(settings: Settings, given: Path | None) -> Path:
    if given is not None:
        return given if given.is_dir() else settings.artifacts / "snapshots" / given.name
    stored = Artifacts(settings).stored("snapshots")
    if not stored:
        raise DataError(
            f"expected a snapshot under {settings.artifacts}, found none; run `python -m pipelines export` first"
        )
    return stored[-1]


_RECIPES = ("honest", "seed")


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    register_train(steps)
    register_tune(steps)
    train = steps.add_parser("train-ranker", help="train the ranker on the newest snapshot, or on ranking sets as CSV")
    train.add_argument("--data", type=Path, nargs="+", metavar="CSV", help="ranking sets; default: built here")
    train.add_argument(
        "--val", type=Path, nargs="+", metavar="CSV", help="rows of other owners, to choose the best epoch"
    )
    train.add_argument("--epochs", type=whole, help="default: [ranker] epochs")
    train.add_argument("--batch-size", type=whole, help="pairs a step; default: [ranker] batch")
    train.add_argument("--lr", type=positive, help="learning rate; default: [ranker] learning_rate")
    train.add_argument("--output-dir", type=Path, help="folder of the model's files; default: the bundles of this home")
    train.add_argument(
        "--recipe", choices=_RECIPES, default="honest", help="seed: the literal features of the requirements (R03)"
    )
    train.set_defaults(run=_train_ranker, needs_servers=False)
    rows = steps.add_parser("ranking-set", help="write ranker_train.csv from the newest snapshot")
    rows.add_argument("--output", type=Path, help="folder; default: the snapshot's datasets")
    rows.add_argument("--neg-ratio", type=whole, help="negatives for each positive; default: [ranker] negatives")
    rows.add_argument("--recipe", choices=_RECIPES, default="honest")
    rows.set_defaults(run=_ranking_set, needs_servers=False)
    about = "evaluate every model on events after a temporal validation split; writes a report with figures"
    evaluation = steps.add_parser("evaluate", help=about)
    evaluation.add_argument("--json", action="store_true", help="all figures as JSON instead of the table")
    about = "also an ablation: train the learned ranker again without each ingredient, a dozen times the work"
    evaluation.add_argument("--leave-out", action="store_true", help=about)
    evaluation.set_defaults(run=_evaluate, needs_servers=False)


def _train_ranker(settings: Settings, args: argparse.Namespace) -> int:
    given = {"ranker_epochs": args.epochs, "ranker_batch": args.batch_size, "ranker_learning_rate": args.lr}
    options = {k: v for k, v in given.items() if v is not None}
    settings = settings.without_mode().layered(options, "given") if options else settings
    if args.data is None:
        if args.val is not None or args.output_dir is not None:
            raise UsageError("--val and --output-dir need --data; without --data some owners are held out (R19)")
        run, snapshot = newest_run(settings)
        return _print([ref.as_json() for ref in train_ranker(run, run.reference(snapshot=snapshot), args.recipe)])
    validation = None if args.val is None else read_rows(args.val)
    about = {"data": [p.name for p in args.data]}
    bundle = fit_mlp_ranker(read_rows(args.data), settings.of(RankerConfig), settings.train.seed, validation, about)
    return _print([_stored(settings, bundle, args.output_dir)])


def _stored(settings: Settings, bundle: Bundle, folder: Path | None) -> dict[str, str]:
    """Store the bundle in the given folder, by default among the bundles of the newest snapshot's cutoff."""
    if folder is None:
        run, _ = newest_run(settings)
        bundle = replace(bundle, config={**bundle.config, "as_of": run.as_of.isoformat()})
        return {"name": RANKER, "version": run.artifacts.store_bundle(bundle, run.slug)}
    folder.mkdir(parents=True, exist_ok=True)
    write_bundle(bundle, folder)
    return {"name": RANKER, "folder": str(folder)}


def _ranking_set(settings: Settings, args: argparse.Namespace) -> int:
    run, name = newest_run(settings)
    holdout = open_holdout(run, Snapshot.open(settings.artifacts / "snapshots" / name))
    rows = ranking_set(holdout, args.neg_ratio, declined_first=True if args.recipe == "seed" else None)
    rows = rows if args.recipe == "honest" else rows.with_seed_features()
    files = rows.write(args.output or settings.artifacts / "snapshots" / name / "datasets", holdout)
    positives = int(rows.label.sum())
    return _print({"files": [str(f) for f in files], "positives": positives, "negatives": len(rows.label) - positives})


def _evaluate(settings: Settings, args: argparse.Namespace) -> int:
    run, snapshot = newest_run(settings)
    found = evaluate(run, snapshot, args.leave_out)
    sys.stderr.write(f"report with figures: {run.directory / REPORT}\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if args.json else table(found))
    return 0


def newest_run(settings: Settings) -> tuple[Run, str]:
    """Return the run of the newest snapshot and the snapshot's name.

    All commands share this run, so base models are refitted once.
    """
    stored = Artifacts(settings).stored("snapshots")
    if not stored:
        raise DataError(
            f"expected a snapshot under {settings.artifacts}, found none; run `python -m pipelines export` first"
        )
    name = stored[-1].name
    as_of = parse_instant(read_manifest(stored[-1])["as_of"])
    return Run.start(settings, f"learn-{name}", as_of, fresh=True), name


def _print(value: object) -> int:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")
    return 0
