"""The registry has light imports, unique names, and existing functions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import registry
from models.spec import ModelSpec, Stage, flat_names
from tests.newest_first import newest_first
from tests.paths import ROOT


def test_the_registry_imports_neither_numpy_nor_torch() -> None:
    program = "import sys, models.registry; print([m for m in ('numpy', 'scipy', 'torch') if m in sys.modules])"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "[]", done.stderr


def test_names_bundles_and_codes_are_distinct() -> None:
    names = [spec.name for spec in registry.MODELS] + [spec.bundle for spec in registry.MODELS if spec.bundle]
    assert len(names) == len(set(names))
    codes = [source.code for source in registry.sources()]
    assert len(codes) == len(set(codes)) and max(codes) < 16
    flat = [f for name, table in registry.tables().items() for f in flat_names(name, table).values()]
    assert len(flat) == len(set(flat))


def test_codes_of_sources_never_change() -> None:
    released = {
        "content_based": 0,
        "als": 1,
        "als_reverse": 2,
        "two_tower": 3,
        "item_neighbours": 4,
        "popular": 5,
        "graph_filter": 6,
    }
    assert released.items() <= {source.name: source.code for source in registry.sources()}.items()


@pytest.mark.parametrize("spec", registry.MODELS, ids=lambda spec: spec.name)
def test_a_model_is_found_by_its_name_and_by_its_bundle(spec: ModelSpec) -> None:
    assert registry.named(spec.name) is spec
    assert not spec.bundle or registry.named(spec.bundle) is spec


def test_a_new_model_is_one_folder_and_one_line_and_leaves_no_trace(tmp_path: Path) -> None:
    with newest_first(tmp_path) as spec:
        assert spec.bundle in registry.bundles() and spec.source in registry.sources()
        assert [s.name for s in registry.staged(Stage.BASE)][-1] == spec.name
    assert spec.bundle not in registry.bundles()


def test_a_model_without_a_contract_is_named(tmp_path: Path) -> None:
    from tests.models.test_every_model import test_every_model_is_under_contract

    with newest_first(tmp_path) as spec, pytest.raises(AssertionError, match="newest_first has no ModelContract class"):
        test_every_model_is_under_contract(spec)


def test_a_code_beyond_two_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="take a free one"), newest_first(tmp_path, code=16):
        pass
