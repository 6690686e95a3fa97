"""Compare Adam's updates with torch's. No training imports torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from models.adam import Adam
from tests.paths import ROOT


def test_updates_equal_those_of_torch_bit_for_bit() -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((300, 16), (16,), (1,))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    optimisers = Adam(ours, lr=0.01), torch.optim.Adam(theirs, lr=0.01, fused=True)
    for step in range(50):
        for optimiser in optimisers:
            optimiser.zero_grad()
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape) * (step % 5 > 0)  # includes steps with a zero gradient
            other.grad = mine.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
        assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True)), step


TRAINING = """
import sys
import numpy as np
from models.features.table import FEATURES
from models.mlp_ranker.fit import PairwiseRows, fit_mlp_ranker
from models.ranker import RankerConfig
from models.settings.settings import Settings
from models.two_tower.fit import fit_two_tower
from tests.marketplace.data import plan_of
from tests.marketplace.world import world

w, settings = world(), Settings().layered({"two_tower_epochs": 1, "ranker_epochs": 1}, "given")
fit_two_tower(w.interactions, w.users, w.startups, w.user_profiles, w.startup_profiles, plan_of(settings))
rng = np.random.default_rng(0)
features = rng.random((400, len(FEATURES)), dtype=np.float32)
rows = PairwiseRows(features, (features[:, 0] > 0.5).astype(np.int8), np.arange(400) // 8)
fit_mlp_ranker(rows, RankerConfig(epochs=1))
assert "torch" in sys.modules
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


@pytest.mark.slow
def test_training_imports_no_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINING], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
