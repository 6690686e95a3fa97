"""`train-als`, `train-als-reverse`, `train-two-tower`, `train-content`: one model on the newest snapshot (E04-E06)."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from models import als, registry
from models.errors import DataError
from models.setting import rules
from models.settings import Settings
from models.settings.declared import declared
from models.spec import ModelSpec, flat_names
from pipelines.artifacts import Artifacts
from pipelines.commands import instant
from pipelines.data.snapshot import Snapshot
from pipelines.learning.split_test import split_test
from pipelines.learning.train import fit
from pipelines.runs.run import parse_instant, slug_of


@dataclass(frozen=True)
class Option:
    """An option that replaces a setting for one run. flat: the setting's name; about: what it is."""

    name: str
    flat: str
    about: str


def options_of(spec: ModelSpec) -> tuple[Option, ...]:
    """Those that a model declares behind its command: a field of its table, "option=field", or "option=table.field"."""
    found = []
    for text in spec.command[1:]:
        option, _, field = text.partition("=")
        table, _, name = (field or option).rpartition(".")
        config = registry.tables().get(table or spec.table_name)
        if config is None:  # of no model: the setting has the name that is given
            found.append(Option(option, name, f"instead of the setting {name}"))
        else:
            found.append(Option(option, flat_names(table or spec.table_name, config)[name], rules(config)[name].doc))
    return tuple(found)


def register_train(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the steps of this module to the command line; none of them needs a database."""
    for spec in (spec for spec in registry.MODELS if spec.command):
        about = f"train {spec.title.rstrip('.')}, on the newest snapshot; prints the bundle and its files"
        parser, options = steps.add_parser(spec.command[0], help=about), options_of(spec)
        at = parser.add_mutually_exclusive_group()
        at.add_argument("--as-of", type=instant, help="the newest snapshot of this cutoff")
        at.add_argument("--data", type=Path, metavar="SNAPSHOT", help="a snapshot by name or folder")
        for option in options:
            parser.add_argument(f"--{option.name}", dest=option.flat, metavar="VALUE", help=option.about)
        if spec.source and not spec.cheap:  # of content the judgement says little: it is for those who did nothing
            parser.add_argument(
                "--test-split",
                type=_share,
                default=None,
                metavar="SHARE",
                help=(
                    "first judge the model by the last SHARE of the events (0.2 of them for train-als, C25; 0: do not)"
                ),
            )
        parser.set_defaults(run=partial(_train, spec.bundle, options), needs_servers=False)


def _train(name: str, options: tuple[Option, ...], settings: Settings, args: argparse.Namespace) -> int:
    given = {option.flat: getattr(args, option.flat) for option in options}
    settings = _with_options(settings, {flat: text for flat, text in given.items() if text is not None})
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


def _with_options(settings: Settings, given: dict[str, str]) -> Settings:
    """The settings with these fields as if the environment had set them, checked by the same rules."""
    return settings.layered({flat: declared(flat).of_text(text) for flat, text in given.items()}, "command line")


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
