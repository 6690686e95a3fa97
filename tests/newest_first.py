"""Add the toy model of the tutorial to the registry for a test."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import models
from models import registry
from models.spec import ModelSpec
from tests.paths import ROOT
from tests.tutorials.follow import blocks

NAME, PAGE = "newest_first", ROOT / "docs" / "tutorials" / "add-a-model.md"


@contextmanager
def newest_first(folder: Path, code: int = 8) -> Iterator[ModelSpec]:
    """Register the toy model after the other sources.

    folder: an empty one for its files. code: of its source; 8 does not fit into one byte.
    """
    (folder / NAME).mkdir(parents=True)
    for block in blocks(PAGE):
        if block.path.startswith(f"models/{NAME}/"):
            (folder / NAME / Path(block.path).name).write_text(
                block.text.replace(f'("{NAME}", 7,', f'("{NAME}", {code},')
            )
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
