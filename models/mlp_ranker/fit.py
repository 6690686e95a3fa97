"""Trains the network ranker: positives of an owner should score above negatives (C33-C40).

Only the order within an owner's candidates is learned, so activity levels of owners make no difference.
"""

from __future__ import annotations

import io
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.adam import Adam
from models.data.bundle import Bundle
from models.errors import TrainingError
from models.features.table import FEATURES
from models.mlp_ranker import SPEC
from models.one_thread import one_thread
from models.ranker import RankerConfig

if TYPE_CHECKING:
    import torch

RANKER = SPEC.bundle
DROPOUT = 0.2
#: Without a validation set, one in this many owners is held out for early stopping (R19).
_GUARD_SHARE = 5
#: With fewer held-out owners the validation loss is too noisy. Then all owners are used for training.
_GUARD_OWNERS = 10
#: Pairs of an epoch: per positive, and in total. One or two per positive are too few: 20 epochs over a thousand rows
#: are then about 150 steps.
_EACH, _PAIRS = 16, 50_000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PairwiseRows:
    """Candidates with their outcome.

    features: (n, len(FEATURES)) in 0..1. label: (n,) 0 or 1. group: (n,) owner of each row.
    """

    features: NDArray[np.float32]
    label: NDArray[np.int8]
    group: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.features.shape != (len(self.label), len(FEATURES)) or len(self.label) != len(self.group):
            raise TrainingError(
                f"expected {len(FEATURES)} features, a label and an owner per row, got "
                f"{self.features.shape}, {self.label.shape}, {self.group.shape}; "
                "build the ranking set again"
            )
        if not np.isfinite(self.features).all() or not np.isin(self.label, (0, 1)).all():
            raise TrainingError("expected finite features and labels 0 or 1, got others; build the ranking set again")

    def of(self, mask: NDArray[np.bool_]) -> PairwiseRows:
        return PairwiseRows(self.features[mask], self.label[mask], self.group[mask])

    @property
    def positives(self) -> int:
        return int(self.label.sum())


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Positives of owners with negatives, and these negatives, as row numbers.

    positive: (p,). negative: (m,). start, count: (p,) range of the owner's negatives in `negative`.
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
        """Draw (n,) positives and as many negatives of the same owners, as row numbers, in random order.

        Each positive is paired with `each` negatives. Of more than `most` pairs a sample is taken.
        """
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
    """Train "ranker_v1". Equal rows and settings give equal bytes.

    validation: rows of other owners; without it one owner in five is held out (R19). about: further config.
    The bundle serves the weights of the epoch with the lowest validation loss, also in `ranker_v1_best.pth` (D21).
    `ranker_v1.pth` is the last epoch (D20). Arrays: weight_0 (32, 4), bias_0 (32,), …
    Raises TrainingError with fewer than `min_positives` (C53), if no owner has both outcomes, or if the loss is not
    finite.
    """
    warnings = _diagnose(rows, config.min_positives)
    training, guard = (rows, validation) if validation is not None else _hold_out(rows, seed)
    with one_thread():
        fitted = _train(training, guard, config, seed)
    if fitted.overfitted:
        warnings.append(
            "the validation loss rose while the training loss fell (overfitting): the best epoch is served; "
            "set fewer epochs or a lower learning rate (C38)"
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
    """Return the sizes of all layers (C33, C40)."""
    return (len(FEATURES), *config.hidden, 1)


def network(sizes: tuple[int, ...], generator: torch.Generator | None = None) -> torch.nn.Sequential:
    """Make dense layers with ReLU between them, and dropout after the first (C33, C34).

    Sizes 4, 32, 16, 1 have 705 parameters. generator: draws weights and dropout, by default torch's own, which every
    thread of the process changes.
    """
    import torch
    from torch import nn

    class Dropout(nn.Dropout):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training:
                return x
            kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=generator)
            return x * kept.div_(1 - self.p)

    layers: list[nn.Module] = []
    for i, (wide, narrow) in enumerate(itertools.pairwise(sizes)):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            dense = nn.Linear(wide, narrow)
            for weight in dense.parameters():  # drawn again, in the same way
                weight.uniform_(-(wide**-0.5), wide**-0.5, generator=generator)
        layers.append(dense)
        if i < len(sizes) - 2:
            layers.append(nn.ReLU())
        if i == 0:
            layers.append(Dropout(DROPOUT))
    return nn.Sequential(*layers)


def _diagnose(rows: PairwiseRows, needed: int) -> list[str]:
    """Return warnings about the rows (P08). Raises TrainingError if nothing can be learned."""
    negatives = len(rows.label) - rows.positives
    if rows.positives < needed:
        raise TrainingError(
            f"{rows.positives} positives, {needed} needed (C53); the rules rank until there is more feedback"
        )
    if not len(_Pairs.from_rows(rows).positive):
        raise TrainingError(
            f"expected an owner with both a positive and a negative, got none among {rows.positives} positives and "
            f"{negatives} negatives; raise the negative ratio or record views"
        )
    found = []
    if not 0.5 <= negatives / rows.positives <= 20:
        found.append(f"imbalanced: {rows.positives} positives, {negatives} negatives; 2 per positive work well (C43)")
    low, high = rows.features.min(0), rows.features.max(0)
    for name, a, b in zip(FEATURES, low.tolist(), high.tolist(), strict=True):
        if a < 0 or b > 1:
            found.append(f"{name} is not scaled: expected 0..1, got {a:.3g}..{b:.3g}")
        elif a == b:
            found.append(f"{name} is {a:.3g} in every row and carries no information")
    return found


def _hold_out(rows: PairwiseRows, seed: int) -> tuple[PairwiseRows, PairwiseRows | None]:
    """Hold out every fifth owner for validation, if there are enough owners."""
    owners = np.unique(rows.group)
    held = np.random.default_rng(seed).permutation(owners)[: len(owners) // _GUARD_SHARE]
    mask = np.isin(rows.group, held)
    guard, training = rows.of(mask), rows.of(~mask)
    if len(np.unique(guard.group[guard.label == 1])) < _GUARD_OWNERS or not len(_Pairs.from_rows(training).positive):
        return rows, None
    return training, guard


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A trained network.

    arrays: the served weights. last, best: torch state files. overfitted: the validation loss rose again.
    """

    arrays: dict[str, NDArray[np.float32]]
    last: bytes
    best: bytes
    report: dict[str, Any]
    overfitted: bool


def _train(rows: PairwiseRows, guard: PairwiseRows | None, config: RankerConfig, seed: int) -> _Fitted:
    import torch

    net = network(widths(config), torch.Generator().manual_seed(seed))
    optimiser = Adam(net.parameters(), lr=config.learning_rate)
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
    optimiser: Adam,
    features: torch.Tensor,
    positive: NDArray[np.int64],
    negative: NDArray[np.int64],
    batch: int,
) -> float:
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
    """Return the mean of log(1 + exp(-(s+ - s-))): a positive should score above a negative (C35)."""
    import torch

    lower, upper = net(features[torch.cat([below, above])]).chunk(2)  # one pass is faster than two
    return torch.nn.functional.softplus(lower - upper).mean()


@dataclass(frozen=True, eq=False)
class _Watch:
    """Validation pairs, drawn once, so that all epochs use the same pairs."""

    features: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor

    @classmethod
    def from_rows(cls, rows: PairwiseRows) -> _Watch:
        import torch

        pairs = _Pairs.from_rows(rows)
        if not len(pairs.positive):
            raise TrainingError(
                "expected a validation set with both a positive and a negative of one owner, got none; give another"
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
    """Return a torch file, to be opened with weights_only=True (D20, R12)."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()
