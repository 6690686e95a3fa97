"""`train-als`, `train-als-reverse`, `train-two-tower`, `train-content`: one model on the newest snapshot (E04-E06)."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from models.errors import DataError
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.commands import instant
from pipelines.data.snapshot import Snapshot
from pipelines.learning.split_test import split_test
from pipelines.learning.train import fit
from pipelines.runs.run import parse_instant, slug_of

#: Option -> (variable whose setting it replaces for this one run, what it is).
_ALS = {
    "factors": ("MATCHBOOK_ALS_FACTORS", "length of a vector (C21)"),
    "regularization": ("MATCHBOOK_ALS_REGULARIZATION", "(C22)"),
    "iterations": ("MATCHBOOK_ALS_ITERATIONS", "(C23)"),
    "alpha": ("MATCHBOOK_ALS_ALPHA", "confidence of one unit of weight (C24)"),
    "min-interactions": ("MATCHBOOK_ALS_MIN_INTERACTIONS", "leave out owners with fewer (C31)"),
}
_OWN = ("factors", "regularization", "alpha")  # what reverse ALS may have of its own
_ALS_REVERSE = {
    option: (variable.replace("_ALS_", "_ALS_REVERSE_") if option in _OWN else variable, about)
    for option, (variable, about) in _ALS.items()
}
_TWO_TOWER = {
    "epochs": ("MATCHBOOK_TWO_TOWER_EPOCHS", "at most; late events tell when to stop (C32)"),
    "batch-size": ("MATCHBOOK_TWO_TOWER_BATCH", "pairs of a batch"),
    "learning-rate": ("MATCHBOOK_TWO_TOWER_LEARNING_RATE", "Adam's step"),
    "dimensions": ("MATCHBOOK_TWO_TOWER_DIMENSIONS", "length of a vector"),
    "device": ("MATCHBOOK_DEVICE", "cpu or cuda"),
}
_CONTENT = {
    "dimensions": ("MATCHBOOK_CONTENT_DIMENSIONS", "length of a vector"),
    "terms": ("MATCHBOOK_CONTENT_TERMS", "words known at most"),
}
_STEPS = {
    "train-als": ("als_v1", _ALS, "ALS, startups for users"),
    "train-als-reverse": ("als_reverse_v1", _ALS_REVERSE, "ALS, users for startups"),
    "train-two-tower": ("two_tower_v1", _TWO_TOWER, "the two-tower with features"),
    "train-content": ("content_v1", _CONTENT, "the text space of profiles"),
}


def register_train(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line; none of them needs a database."""
    for step, (name, options, about) in _STEPS.items():
        parser = steps.add_parser(step, help=f"train {about}, on the newest snapshot; prints the bundle and its files")
        at = parser.add_mutually_exclusive_group()
        at.add_argument("--as-of", type=instant, help="the newest snapshot of this cutoff")
        at.add_argument("--data", type=Path, metavar="SNAPSHOT", help="a snapshot by name or folder")
        for option, (variable, meaning) in options.items():
            parser.add_argument(f"--{option}", dest=variable, metavar="VALUE", help=f"{meaning}; default: {variable}")
        if name != "content_v1":
            parser.add_argument(
                "--test-split",
                type=_share,
                default=None,
                metavar="SHARE",
                help=(
                    "first judge the model by the last SHARE of the events (0.2 of them for train-als, C25; 0: do not)"
                ),
            )
        parser.set_defaults(run=partial(_train, name, tuple(options.values())), needs_servers=False)


def _train(name: str, options: tuple[tuple[str, str], ...], settings: Settings, args: argparse.Namespace) -> int:
    settings = _with_options(settings, {v: getattr(args, v) for v, _ in options if getattr(args, v) is not None})
    snapshot = Snapshot.open(_snapshot(settings, args.as_of, args.data))
    usual = settings.holdout_share if name == "als_v1" else 0.0
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


def _with_options(settings: Settings, given: dict[str, str]) -> Settings:
    """The settings with these variables as if the environment had set them, checked by the same rules."""
    read = Settings.from_env(given)
    by_variable = {f.metadata["env"]: f.name for f in Settings.__dataclass_fields__.values()}
    return replace(settings, **{by_variable[v]: getattr(read, by_variable[v]) for v in given})


def _snapshot(settings: Settings, as_of: datetime | None, given: Path | None) -> Path:
    """Folder of the wanted snapshot, the newest by default. Raises DataError."""
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


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, got {text}")
    return share
