"""Fit the ranking network: shape, learning, reproducibility, errors for bad rows (C33-C40, C53, P08)."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import torch

from models.errors import TrainingError
from models.mlp_ranker.fit import PairwiseRows, fit_mlp_ranker, network, widths
from models.mlp_ranker.scorer import MlpRanker
from models.ranker import RankerConfig
from models.settings.settings import Settings

SETTINGS = Settings().layered({"ranker_epochs": 4, "ranker_learning_rate": 0.01, "ranker_batch": 256}, "given")


def asked(settings: Settings) -> tuple[RankerConfig, int]:
    """Return the arguments of `fit_mlp_ranker` besides the rows."""
    return settings.of(RankerConfig), settings.train.seed


def planted(owners: int = 120, each: int = 9, seed: int = 0) -> PairwiseRows:
    """Plant owners who like popular and old items at any model score. A third of each owner's rows is positive."""
    rng = np.random.default_rng(seed)
    x = rng.random((owners, each, 4)).astype(np.float32)
    taste = 2 * x[:, :, 2] - x[:, :, 1] + 0.2 * rng.standard_normal((owners, each))
    label = taste >= np.sort(taste, axis=1)[:, -each // 3][:, None]
    return PairwiseRows(x.reshape(-1, 4), label.ravel().astype(np.int8), np.repeat(np.arange(owners), each))


def right_pairs(score: np.ndarray, rows: PairwiseRows) -> float:
    """Return the share of (positive, negative) pairs of an owner in the right order."""
    same = rows.group[:, None] == rows.group[None, :]
    pair = same & (rows.label[:, None] == 1) & (rows.label[None, :] == 0)
    return float((score[:, None] > score[None, :])[pair].mean())


def test_the_network_has_705_parameters() -> None:
    net = network(widths(asked(Settings())[0]))
    assert sum(p.numel() for p in net.parameters()) == 705
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]
    assert fit_mlp_ranker(planted(60), *asked(SETTINGS)).config["parameters"] == 705


@pytest.mark.parametrize(("hidden", "parameters"), [((64, 32), 2433), ((16, 8), 225)])
def test_other_widths_are_a_setting(hidden: tuple[int, int], parameters: int) -> None:
    bundle = fit_mlp_ranker(
        planted(60), *asked(SETTINGS.layered({"ranker_hidden": hidden, "ranker_epochs": 1}, "given"))
    )
    assert bundle.config["parameters"] == parameters


def test_numpy_forward_equals_torch() -> None:
    bundle = fit_mlp_ranker(planted(), *asked(SETTINGS))
    net = network(widths(asked(SETTINGS)[0]))
    net.load_state_dict(torch.load(io.BytesIO(bundle.files["ranker_v1_best.pth"]), weights_only=True))
    net.eval()
    x = np.random.default_rng(1).random((500, 4)).astype(np.float32)
    with torch.no_grad():
        expected = torch.sigmoid(net(torch.from_numpy(x)))[:, 0].numpy()
    np.testing.assert_allclose(MlpRanker.from_bundle(bundle).score(x), expected, atol=1e-6)


def test_it_learns_the_planted_taste_and_labels_matter() -> None:
    rows, fresh = planted(), planted(60, seed=9)
    shuffled = PairwiseRows(rows.features, np.random.default_rng(2).permutation(rows.label), rows.group)
    learned, blind = (
        MlpRanker.from_bundle(fit_mlp_ranker(r, *asked(SETTINGS))).score(fresh.features) for r in (rows, shuffled)
    )
    assert right_pairs(learned, fresh) > 0.93
    assert right_pairs(learned, fresh) > right_pairs(blind, fresh) + 0.1
    assert right_pairs(learned, fresh) > right_pairs(fresh.features[:, 0], fresh) + 0.3  # the model score does not help


def test_only_order_within_an_owner_is_learned() -> None:
    """An offset per owner separates labels across owners. Within owners the feature has no information."""
    rows = planted(80)
    offset = (rows.group % 2).astype(np.float32)
    x = np.stack([offset, *rows.features.T[1:]], axis=1)
    score = MlpRanker.from_bundle(fit_mlp_ranker(PairwiseRows(x, rows.label, rows.group), *asked(SETTINGS))).score(x)
    assert right_pairs(score, rows) > 0.9


def test_equal_rows_give_equal_bytes() -> None:
    first, second = (fit_mlp_ranker(planted(), *asked(SETTINGS)) for _ in range(2))
    assert first.files == second.files
    assert first.digest() == second.digest()
    assert first.digest() != fit_mlp_ranker(planted(), *asked(SETTINGS.layered({"seed": 43}, "given"))).digest()


def test_random_numbers_of_other_threads_make_no_difference() -> None:
    alone, stop = fit_mlp_ranker(planted(), *asked(SETTINGS)), threading.Event()

    def draw() -> None:
        while not stop.wait(0.001):
            torch.rand(1)

    other = threading.Thread(target=draw)
    other.start()
    try:
        assert fit_mlp_ranker(planted(), *asked(SETTINGS)).digest() == alone.digest()
    finally:
        stop.set()
        other.join()


def test_the_random_state_outside_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_mlp_ranker(planted(60), *asked(SETTINGS))
    assert torch.equal(torch.rand(3), expected)


def test_default_training_guards_itself() -> None:
    bundle = fit_mlp_ranker(planted(), *asked(SETTINGS))
    assert bundle.config["validated_on"] == 24
    assert set(bundle.files) == {"ranker_v1.pth", "ranker_v1_best.pth"}
    assert len(bundle.config["validation_loss"]) == len(bundle.config["loss"]) == 4
    assert bundle.config["loss"][-1] < bundle.config["loss"][0]  # the loss decreases (J11)


def test_too_few_owners_for_a_guard() -> None:
    bundle = fit_mlp_ranker(planted(40), *asked(SETTINGS.layered({"ranker_epochs": 2}, "given")))
    assert bundle.config["validated_on"] == 0 and set(bundle.files) == {"ranker_v1.pth"}


def test_the_best_epoch_is_served() -> None:
    """Validation owners have the opposite taste, so more training makes the network worse."""
    rows = planted()
    contrary = PairwiseRows(rows.features, 1 - rows.label, rows.group)
    bundle = fit_mlp_ranker(rows, *asked(SETTINGS), validation=contrary)
    assert bundle.config["best_epoch"] == np.argmin(bundle.config["validation_loss"]) + 1 < 4
    assert bundle.files["ranker_v1.pth"] != bundle.files["ranker_v1_best.pth"]
    best = torch.load(io.BytesIO(bundle.files["ranker_v1_best.pth"]), weights_only=True)
    np.testing.assert_array_equal(best["0.weight"].numpy(), bundle.arrays["weight_0"])
    assert any("validation loss rose" in w for w in bundle.config["warnings"])


def test_too_few_positives_are_refused() -> None:
    rows = planted(33)
    assert rows.positives == 99
    with pytest.raises(TrainingError, match=r"99 positives, 100 needed \(C53\)"):
        fit_mlp_ranker(rows, *asked(SETTINGS))


def test_positives_without_any_negative_are_refused() -> None:
    rows = planted()
    with pytest.raises(TrainingError, match="an owner with both"):
        fit_mlp_ranker(rows.of(rows.label == 1), *asked(SETTINGS))


def test_poor_rows_are_diagnosed() -> None:
    rows = planted()
    x = rows.features * np.array([3, 1, 1, 0], np.float32) + np.array([0, 0, 0, 0.5], np.float32)
    keep = (rows.label == 1) | (np.arange(len(rows.label)) % 20 == 0)
    poor = PairwiseRows(x, rows.label, rows.group).of(keep)
    said = fit_mlp_ranker(poor, *asked(SETTINGS.layered({"ranker_epochs": 1}, "given"))).config["warnings"]
    assert any("imbalanced" in w for w in said)
    assert any("model_score is not scaled" in w for w in said)
    assert any("diversity is 0.5 in every row" in w for w in said)


def test_unusable_rows_are_named() -> None:
    rows = planted(60)
    with pytest.raises(TrainingError, match="expected 4 features"):
        PairwiseRows(rows.features[:, :3], rows.label, rows.group)
    with pytest.raises(TrainingError, match="expected finite"):
        PairwiseRows(rows.features * np.nan, rows.label, rows.group)
