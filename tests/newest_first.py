"""A toy model as a stranger would add it: one new folder below models/, one line in the registry."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import models
from models import registry
from models.spec import ModelSpec

NAME = "newest_first"
DECLARED = '''"""Newest first: what came last is proposed to everybody."""

from models.spec import USERS, ModelSpec, Source

SPEC = ModelSpec(
    name="newest_first",
    bundle="newest_first_v1",
    title="Startups that came last, for everybody.",
    arrays="user_factors, item_factors (user, item)",
    rows="1 of a person, rank of a startup by its birth in 0..1",
    fit="PLACE.fit:fit",
    source=Source("newest_first", CODE, "newest", ("came a short while ago", "came a short while ago")),
    owners=USERS,
    scorer="models.scoring.factors:open_scorer",
)
'''
FITTED = '''"""Fit newest first."""

import numpy as np

from models.data.training_data import TrainingData
from models.data.bundle import Bundle


def fit(data: TrainingData[None]) -> Bundle:
    """The bundle newest_first_v1."""
    age = np.argsort(np.argsort(data.startups.created_at, kind="stable"), kind="stable")
    arrays = {
        "user_factors": np.ones((len(data.users), 1), np.float32),
        "item_factors": ((age + 1) / len(age)).astype(np.float32)[:, None],
    }
    maps = {"user": data.users.ids, "item": data.startups.ids}
    return Bundle("newest_first_v1", {"rows": len(data.interactions)}, arrays, maps)
'''


@contextmanager
def newest_first(folder: Path, code: int = 8) -> Iterator[ModelSpec]:
    """The toy model in the registry, behind the other sources. folder: an empty one, for its files. code: of its
    source; 8 does not fit into one byte."""
    place = folder / NAME
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(DECLARED.replace("CODE", str(code)).replace("PLACE", f"models.{NAME}"))
    (place / "fit.py").write_text(FITTED)
    models.__path__.append(str(folder))
    importlib.invalidate_caches()
    before = list(registry.MODELS)
    try:
        spec = importlib.import_module(f"models.{NAME}").SPEC
        registry.MODELS.insert(before.index(registry.named("ensemble")), spec)
        yield spec
    finally:
        registry.MODELS[:] = before
        models.__path__.remove(str(folder))
        for name in [n for n in sys.modules if n.startswith(f"models.{NAME}")]:
            del sys.modules[name]
