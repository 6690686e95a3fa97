"""Fit the ranker: a small network that learns to put what an owner engaged with above what they did not (C33-C40).

Only order within an owner teaches it, so a loud owner and a quiet one speak of the same thing: which of my candidates.
"""

from __future__ import annotations

import io
import itertools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.errors import TrainingError
from models.features.table import FEATURES
from models.mlp_ranker import SPEC
from models.ranker import RankerConfig

if TYPE_CHECKING:
    import torch

RANKER = SPEC.bundle
DROPOUT = 0.2
#: One owner in so many guards against overfitting where no validation set is given (R19).
_GUARD_SHARE = 5
#: Below so many guarding owners the guard would be a coin: everybody teaches then.
_GUARD_OWNERS = 10
#: Pairs of one epoch: so many a positive, so many in all. With one or two a positive, the seed's 20 epochs over a
#: thousand rows are some 150 steps, after which the net has learned next to nothing.
_EACH, _PAIRS = 16, 50_000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PairwiseRows:
    """Candidates with their outcome.

    features: (n, len(FEATURES)) float32 in 0..1. label: (n,) 0 or 1. group: (n,) int, the owner of each row.
    """

    features: NDArray[np.float32]
    label: NDArray[np.int8]
    group: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.features.shape != (len(self.label), len(FEATURES)) or len(self.label) != len(self.group):
            raise TrainingError(
                f"expected {len(FEATURES)} features, a label and an owner a row, got "
                f"{self.features.shape}, {self.label.shape}, {self.group.shape}; "
                "build the ranking set again"
            )
        if not np.isfinite(self.features).all() or not np.isin(self.label, (0, 1)).all():
            raise TrainingError("features must be finite and labels 0 or 1; build the ranking set again")

    def of(self, mask: NDArray[np.bool_]) -> PairwiseRows:
        return PairwiseRows(self.features[mask], self.label[mask], self.group[mask])

    @property
    def positives(self) -> int:
        return int(self.label.sum())


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Positives of owners who have a negative too, and where those negatives lie.

    positive: (p,) row numbers. start, count: (p,) run of the owner's negatives within `negative`, (m,) row numbers.
    """

    positive: NDArray[np.int64]
    start: NDArray[np.int64]
    count: NDArray[np.int64]
    negative: NDArray[np.int64]

    @classmethod
    def from_rows(cls, rows: PairwiseRows) -> _Pairs:
        owners, group = np.unique(rows.group, return_inverse=True)
        negative = np.flatnonzero(rows.label == 0)
        negative = negative[np.argsort(group[negative], kind="stable")]
        count = np.bincount(group[negative], minlength=len(owners))
        positive = np.flatnonzero(rows.label == 1)
        positive = positive[count[group[positive]] > 0]
        mine = group[positive]
        return cls(positive, (np.cumsum(count) - count)[mine], count[mine], negative)

    def draw(
        self, rng: np.random.Generator, each: int = _EACH, most: int = _PAIRS
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) positives and as many negatives of the same owners, as row numbers, in random order.

        Every positive meets `each` of its owner's negatives; where that makes more than `most` pairs, some of them."""
        order = rng.permutation(np.repeat(np.arange(len(self.positive)), each))[:most]
        pick = (rng.random(len(order)) * self.count[order]).astype(np.int64)
        return self.positive[order], self.negative[self.start[order] + pick]


def fit_mlp_ranker(
    rows: PairwiseRows,
    config: RankerConfig,
    seed: int = 42,
    validation: PairwiseRows | None = None,
    about: Mapping[str, Any] | None = None,
) -> Bundle:
    """Fit "ranker_v1"; the same rows and settings give the same bytes.

    validation: rows of other owners. Without it, one owner in five is held out (R19). Either way the weights of the
    epoch with the lowest held-out loss are what the bundle serves (and `ranker_v1_best.pth`, D21); `ranker_v1.pth` is
    the last epoch (D20). about: further config (the cutoff, the recipe).
    Arrays: weight_0 (32, 4), bias_0 (32,), … float32. Raises TrainingError under `min_positives` (C53), where no
    owner has both a positive and a negative, or where the loss is not finite.
    """
    warnings = _diagnose(rows, config.min_positives)
    training, guard = (rows, validation) if validation is not None else _hold_out(rows, seed)
    with _reproducible(seed):
        fitted = _train(training, guard, config, seed)
    if fitted.overfitted:
        warnings.append(
            "the held-out loss rose again while the training loss fell: the best epoch is served; "
            "fewer epochs or a lower learning rate overfit less (C38)"
        )
    for warning in warnings:
        _LOG.warning("ranker: %s", warning)
    files = {f"{RANKER}.pth": fitted.last} | ({f"{RANKER}_best.pth": fitted.best} if guard is not None else {})
    told = {
        **(about or {}),
        "features": list(FEATURES),
        "hidden": "/".join(map(str, config.hidden)),
        "dropout": DROPOUT,
        "epochs": config.epochs,
        "batch_size": config.batch,
        "seed": seed,
        "learning_rate": config.learning_rate,
        "pairs_per_positive": _EACH,
        "pairs_per_epoch": _PAIRS,
        "rows": len(rows.label),
        "positives": rows.positives,
        "owners": len(np.unique(rows.group)),
        "validated_on": 0 if guard is None else len(np.unique(guard.group)),
        "parameters": int(sum(a.size for a in fitted.arrays.values())),
        **fitted.report,
        "warnings": warnings,
    }
    return Bundle(RANKER, told, fitted.arrays, files=files)


def widths(config: RankerConfig) -> tuple[int, ...]:
    """Sizes of all layers: inputs, hidden, one output (C33, C40)."""
    return (len(FEATURES), *config.hidden, 1)


def network(sizes: tuple[int, ...]) -> torch.nn.Sequential:
    """Dense layers with ReLU between and dropout behind the first: 705 parameters at 4, 32, 16, 1 (C33, C34)."""
    from torch import nn

    layers: list[nn.Module] = []
    for i, (wide, narrow) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(wide, narrow))
        if i < len(sizes) - 2:
            layers.append(nn.ReLU())
        if i == 0:
            layers.append(nn.Dropout(DROPOUT))
    return nn.Sequential(*layers)


def _diagnose(rows: PairwiseRows, needed: int) -> list[str]:
    """What is wrong with the rows (P08): raises where nothing can be learned, else names what to look at."""
    negatives = len(rows.label) - rows.positives
    if rows.positives < needed:
        raise TrainingError(
            f"{rows.positives} positives, {needed} needed (C53); the rules rank until more feedback came in"
        )
    if not len(_Pairs.from_rows(rows).positive):
        raise TrainingError(
            f"no owner has both a positive and a negative among {rows.positives} positives and "
            f"{negatives} negatives; raise the negative ratio or record views"
        )
    found = []
    if not 0.5 <= negatives / rows.positives <= 20:
        found.append(f"imbalanced: {rows.positives} positives, {negatives} negatives; 2 a positive work well (C43)")
    low, high = rows.features.min(0), rows.features.max(0)
    for name, a, b in zip(FEATURES, low.tolist(), high.tolist(), strict=True):
        if a < 0 or b > 1:
            found.append(f"{name} is not scaled: it spans {a:.3g}..{b:.3g}, expected 0..1")
        elif a == b:
            found.append(f"{name} is {a:.3g} in every row: nothing can be learned of it")
    return found


def _hold_out(rows: PairwiseRows, seed: int) -> tuple[PairwiseRows, PairwiseRows | None]:
    """Teaching rows, and the rows of every fifth owner as a guard, where there are enough owners for one."""
    owners = np.unique(rows.group)
    held = np.random.default_rng(seed).permutation(owners)[: len(owners) // _GUARD_SHARE]
    mask = np.isin(rows.group, held)
    guard, training = rows.of(mask), rows.of(~mask)
    if len(np.unique(guard.group[guard.label == 1])) < _GUARD_OWNERS or not len(_Pairs.from_rows(training).positive):
        return rows, None
    return training, guard


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """torch seeded, on one thread (the layers are too small to share), and as it was found afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """arrays: the served weights. last, best: torch state files. overfitted: whether the held-out loss turned up."""

    arrays: dict[str, NDArray[np.float32]]
    last: bytes
    best: bytes
    report: dict[str, Any]
    overfitted: bool


def _train(rows: PairwiseRows, guard: PairwiseRows | None, config: RankerConfig, seed: int) -> _Fitted:
    import torch

    net = network(widths(config))
    optimiser = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
    rng = np.random.default_rng(seed)
    pairs, features = _Pairs.from_rows(rows), torch.from_numpy(np.ascontiguousarray(rows.features, np.float32))
    watched = None if guard is None else _Watch.from_rows(guard)
    losses, held_out, best, best_epoch = [], [], _state(net), 0
    for epoch in range(config.epochs):
        losses.append(_epoch(net, optimiser, features, *pairs.draw(rng), config.batch))
        held_out.append(losses[-1] if watched is None else watched.loss(net))
        if watched is None or held_out[-1] <= min(held_out):
            best, best_epoch = _state(net), epoch + 1
    if not np.isfinite(losses[-1]):
        raise TrainingError(
            f"the ranker's loss is {losses[-1]} after {config.epochs} epochs; "
            f"lower the learning rate (now {config.learning_rate})"
        )
    layers = sorted({key.split(".")[0] for key in best}, key=int)
    arrays = {
        f"{kind}_{i}": best[f"{layer}.{kind}"].numpy() for i, layer in enumerate(layers) for kind in ("weight", "bias")
    }
    report = {"best_epoch": best_epoch, "loss": [round(x, 6) for x in losses]}
    if watched is not None:
        report["validation_loss"] = [round(x, 6) for x in held_out]
    overfitted = watched is not None and held_out[-1] > 1.02 * min(held_out) and losses[-1] < losses[best_epoch - 1]
    return _Fitted(arrays, _file(_state(net)), _file(best), report, overfitted)


def _epoch(
    net: torch.nn.Sequential,
    optimiser: torch.optim.Optimizer,
    features: torch.Tensor,
    positive: NDArray[np.int64],
    negative: NDArray[np.int64],
    batch: int,
) -> float:
    """One pass over these pairs in batches of `batch` pairs; returns the mean loss."""
    import torch

    net.train()
    total, above, below = 0.0, torch.from_numpy(positive), torch.from_numpy(negative)
    for at in range(0, len(positive), batch):
        optimiser.zero_grad()
        loss = _pairwise(net, features, above[at : at + batch], below[at : at + batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += float(loss.detach()) * len(above[at : at + batch])
    return total / len(positive)


def _pairwise(
    net: torch.nn.Sequential, features: torch.Tensor, above: torch.Tensor, below: torch.Tensor
) -> torch.Tensor:
    """Mean of log(1 + exp(-(s+ - s-))): a positive should score above a negative of its owner (C35)."""
    import torch

    return torch.nn.functional.softplus(net(features[below]) - net(features[above])).mean()


@dataclass(frozen=True, eq=False)
class _Watch:
    """Held-out pairs, drawn once, so that epochs are compared on the same pairs."""

    features: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor

    @classmethod
    def from_rows(cls, rows: PairwiseRows) -> _Watch:
        import torch

        pairs = _Pairs.from_rows(rows)
        if not len(pairs.positive):
            raise TrainingError(
                "the validation set has no owner with both a positive and a negative; give another or none"
            )
        positive, negative = pairs.draw(np.random.default_rng(0))
        features = torch.from_numpy(np.ascontiguousarray(rows.features, np.float32))
        return cls(features, torch.from_numpy(positive), torch.from_numpy(negative))

    def loss(self, net: torch.nn.Sequential) -> float:
        import torch

        net.eval()
        with torch.no_grad():
            return float(_pairwise(net, self.features, self.positive, self.negative))


def _state(net: torch.nn.Sequential) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone() for k, v in net.state_dict().items()}


def _file(state: Mapping[str, torch.Tensor]) -> bytes:
    """A torch file; open it with weights_only=True (D20, R12)."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()
