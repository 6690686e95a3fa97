"""Every model of the registry passes the contract. Models without other tests have their class here."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from models import activity, catalogue, ensemble, external, learned_ranker, mlp_ranker, registry, rules_ranker
from models.als import ALS
from models.data.bundle import Bundle
from models.ensemble import EnsembleConfig
from models.ensemble.scorer import Blend
from models.features.table import FEATURES
from models.mlp_ranker.fit import PairwiseRows, fit_mlp_ranker
from models.ranker import RankerConfig
from models.routing import models_of
from models.schema import Method, Surface
from models.spec import ModelSpec, Stage, function
from tests.marketplace.bundles import learned_bundles
from tests.models.model_contract import ModelContract, RankerContract
from tests.paths import ROOT


class TestCatalogue(ModelContract):
    spec = catalogue.SPEC


class TestActivity(ModelContract):
    spec = activity.SPEC


class TestRules(RankerContract):
    spec = rules_ranker.SPEC

    @pytest.fixture
    def bundles(self) -> Mapping[str, Bundle]:
        return {}

    @pytest.fixture
    def features(self) -> np.ndarray:
        return np.random.default_rng(0).random((50, len(FEATURES)), np.float32)


class TestNetwork(TestRules):
    spec = mlp_ranker.SPEC

    @pytest.fixture
    def bundles(self) -> Mapping[str, Bundle]:
        rng = np.random.default_rng(1)
        features = rng.random((400, len(FEATURES)), np.float32)
        rows = PairwiseRows(features, (features[:, 0] > 0.6).astype(np.int8), np.repeat(np.arange(40), 10))
        return {self.spec.bundle: fit_mlp_ranker(rows, RankerConfig(epochs=1, min_positives=10))}


class TestLearned(RankerContract):
    spec = learned_ranker.SPEC

    @pytest.fixture
    def bundles(self) -> Mapping[str, Bundle]:
        return learned_bundles()

    @pytest.fixture
    def features(self, bundles: Mapping[str, Bundle]) -> np.ndarray:
        about = bundles[self.spec.bundle].config["surfaces"][Surface.STARTUPS_FOR_DEVELOPER.value]
        return np.random.default_rng(0).random((50, len(about["features"])), np.float32)


class TestEnsemble:
    spec = ensemble.SPEC

    def test_it_blends_the_scores_of_its_halves(self) -> None:
        als, tower = (np.array(s, np.float32) for s in ([0, 5, 10], [2, 4, 3]))
        one, indptr = np.zeros(3, np.int32), np.array([0, 3])
        score = Blend(EnsembleConfig())(als, tower, one, indptr, np.array([25]), np.array([10.0]))
        assert score.dtype == np.float32 and ((score >= 0) & (score <= 1)).all()
        halves = models_of(Method.ENSEMBLE, Surface.STARTUPS_FOR_DEVELOPER)
        assert halves[0].source is ALS and halves[-1] is self.spec and callable(function(self.spec.fit))


def covered() -> dict[str, str]:
    """Return the test class that names a model's spec, by `key` of the model."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests" / "models").rglob("test_*.py")):
        if "spec = " in path.read_text():
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            classes = [c for c in vars(module).values() if isinstance(c, type) and c.__name__.startswith("Test")]
            specs = [(getattr(c, "spec", None), c.__name__) for c in classes]
            found |= {key(spec): name for spec, name in specs if isinstance(spec, ModelSpec)}
    return found


def key(spec: ModelSpec) -> str:
    """Return the name of a model, or the kind of an external one: all of a kind behave the same."""
    return spec.fit if spec.fit.startswith("models.external.") else spec.name


_REASON = ("suits you", "suits your startup")
#: External models that a line of the registry may add.
EXTERNAL = [external.vectors("theirs", 8, "theirs", _REASON), external.scores("others", 9, "others", _REASON)]


@pytest.mark.parametrize("spec", [*registry.MODELS, *EXTERNAL], ids=lambda spec: spec.name)
def test_every_model_is_under_contract(spec: ModelSpec) -> None:
    kind = {Stage.BASE: "ModelContract", Stage.RANKER: "RankerContract", Stage.BLEND: "test"}[spec.stage]
    assert key(spec) in covered(), f"{spec.name} has no {kind} class below tests/models: write one that says `spec = …`"


def test_a_reader_that_opens_every_bundle_loads_nothing_that_trains(tmp_path: Path) -> None:
    """Functions are named as text, which import contracts cannot follow. So a separate process calls all."""
    from models.data.bundle import write_bundle

    for name, bundle in learned_bundles().items():
        folder = tmp_path / "bundles" / name / "planted"
        folder.mkdir(parents=True)
        write_bundle(bundle, folder)
    program = f"""
import sys
from pathlib import Path
from models.recommender.surface import open_bundles, open_recommender
from models.schema import Surface
from models.settings import Settings
versions = dict.fromkeys({sorted(learned_bundles())!r}, "planted")
bundles = open_bundles(Path({str(tmp_path)!r}), versions, Settings())
recipes = [open_recommender(s, bundles, Settings()) for s in Surface]
assert all(type(r.ranker).__name__ == "LearnedRanker" and r.scorers for r in recipes), recipes
heavy = ("torch", "implicit", "lightgbm", "sklearn", "pandas", "pyarrow", "airflow", "pipelines")
print([m for m in sys.modules if m.split(".")[0] in heavy or m.endswith(".fit") or m.split(".")[-1] == "network"])
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
