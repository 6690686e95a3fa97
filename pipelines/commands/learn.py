"""`train-ranker`, `ranking-set` and `evaluate`: the second stage on the newest snapshot (E03, E07, E08)."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from models.errors import DataError
from models.mlp_ranker.fit import RANKER, fit_ranker
from models.nouns.bundle import Bundle, write_bundle
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.commands.train import register_train
from pipelines.commands.tune import register_tune
from pipelines.data.snapshot import Snapshot, read_manifest
from pipelines.judging.evaluate import REPORT, evaluate, table
from pipelines.learning.holdout import open_holdout
from pipelines.learning.ranking_set import ranking_set, read_rows
from pipelines.learning.second_stage import train_ranker
from pipelines.runs.run import Run, parse_instant

_RECIPES = ("honest", "seed")


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line; none of them needs a database."""
    register_train(steps)
    register_tune(steps)
    train = steps.add_parser("train-ranker", help="train the ranker on the newest snapshot, or on ranking sets as CSV")
    train.add_argument("--data", type=Path, nargs="+", metavar="CSV", help="ranking sets; default: built here")
    train.add_argument("--val", type=Path, nargs="+", metavar="CSV", help="rows of other owners: keep the best epoch")
    train.add_argument("--epochs", type=_whole, help="default: [ranker] epochs")
    train.add_argument("--batch-size", type=_whole, help="pairs of a step; default: [ranker] batch")
    train.add_argument("--lr", type=_positive, help="learning rate; default: [ranker] learning_rate")
    train.add_argument("--output-dir", type=Path, help="folder of the model's files; default: the bundles of this home")
    train.add_argument("--recipe", choices=_RECIPES, default="honest", help="seed: its literal features (R03)")
    train.set_defaults(run=_train_ranker, needs_servers=False)
    rows = steps.add_parser("ranking-set", help="write ranker_train.csv from the newest snapshot")
    rows.add_argument("--output", type=Path, help="folder; default: the snapshot's datasets")
    rows.add_argument("--neg-ratio", type=_whole, help="negatives a positive; default: [ranker] negatives")
    rows.add_argument("--recipe", choices=_RECIPES, default="honest")
    rows.set_defaults(run=_ranking_set, needs_servers=False)
    told = "judge every model by what happened after an inner cut; writes a report with figures"
    judge = steps.add_parser("evaluate", help=told)
    judge.add_argument("--json", action="store_true", help="all figures as JSON instead of the table")
    told = "also teach the learned ranker again without each of its ingredients: a dozen times the work"
    judge.add_argument("--leave-out", action="store_true", help=told)
    judge.set_defaults(run=_evaluate, needs_servers=False)


def _train_ranker(settings: Settings, args: argparse.Namespace) -> int:
    given = {"ranker_epochs": args.epochs, "ranker_batch": args.batch_size, "ranker_learning_rate": args.lr}
    settings = settings.layered({k: v for k, v in given.items() if v is not None}, "given")
    if args.data is None:
        if args.val is not None or args.output_dir is not None:
            raise DataError("--val and --output-dir go with --data; without it some owners are held out (R19)")
        run, snapshot = newest_run(settings)
        return _print([ref.as_json() for ref in train_ranker(run, run.reference(snapshot=snapshot), args.recipe)])
    validation = None if args.val is None else read_rows(args.val)
    about = {"data": [p.name for p in args.data]}
    bundle = fit_ranker(read_rows(args.data), settings.table("ranker"), settings.train.seed, validation, about)
    return _print([_stored(settings, bundle, args.output_dir)])


def _stored(settings: Settings, bundle: Bundle, folder: Path | None) -> dict[str, str]:
    """The bundle in a folder of the user's choice, or among the bundles under the cutoff of the newest snapshot."""
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
    rows = rows if args.recipe == "honest" else rows.as_the_seed_has_it()
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
    """A run over the newest snapshot, and its name; the same for all steps, so that base models are refitted once."""
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


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text}")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number
