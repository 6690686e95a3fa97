"""Trains two towers for users and startups. The score is their dot product (A05, C32).

A user's inputs are an id, profile tokens (with role and place) and the startups of the history. A startup's inputs are
an id and profile tokens. Each tower sums its embeddings and scales the sum to length 1.
Training uses a softmax over the batch in both directions, corrected by sampling frequency (logQ, Yi et al. 2019), with
disliked startups as hard negatives. Random id dropout trains tokens and history to work without ids, so that cold-start
entities have a vector.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.adam import Adam
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.data.interactions import Interactions
from models.data.profile_text import Profiles
from models.data.training_data import TrainingData
from models.errors import TooSparse, TrainingError
from models.one_thread import one_thread
from models.two_tower import SPEC, TwoTowerConfig
from models.two_tower.inputs import HISTORY, WORDS, Late, Pairs, TowerInputs, Words, inputs_of, words_of
from models.two_tower.network import (
    history_table,
    lengths,
    on_device,
    people_of,
    startups_of,
    table,
    towers_of,
    vectors,
)

if TYPE_CHECKING:
    import torch

NAME = SPEC.bundle
TEMPERATURE = 0.1
ID_DROPOUT = 0.25
#: The last share of the events decides when to stop, if it has at least WATCHED new pairs. Fewer are too noisy.
LATE_SHARE, WATCHED, PATIENCE = 0.1, 50, 2
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Training parameters. terms: most tokens of the vocabulary."""

    config: TwoTowerConfig
    terms: int
    seed: int = 42
    device: str = "cpu"


def fit(data: TrainingData[TwoTowerConfig]) -> Bundle:
    """Train the bundle two_tower_v1. Its vocabulary is as large as that of [content]."""
    profiles = data.profiles(data.users), data.profiles(data.startups)
    plan = Plan(data.config, data.table("content").terms, data.seed, data.device)
    return fit_two_tower(data.interactions, data.users, data.startups, *profiles, plan)


def fit_two_tower(
    interactions: Interactions,
    users: Entities,
    startups: Entities,
    user_profiles: Profiles,
    startup_profiles: Profiles,
    plan: Plan,
) -> Bundle:
    """Train the bundle two_tower_v1, with file two_tower_v1_best.pth (D19).

    user_factors, item_factors: (n, d), a row per entity, zeros if unknown (no id, token or history).
    For unseen owners: tokens (t,) ascending, rarity (t,), token_vectors and startup_token_vectors (t, d). Their vector
    is the normalised mean of the `words` (config) rarest tokens.
    For fold-in: user_lengths (n,), history_vectors (startups, d), see `TwoTowerFoldIn`.
    The last tenth of the events selects the number of epochs, with `early_stopping`. Then a new training uses all
    events. Equal rows, settings
    and processor type give equal bytes.
    Raises TooSparse without two positive pairs, TrainingError if the loss is not finite.
    """
    pairs = Pairs.from_interactions(interactions, plan.config.half_life_share)
    if len(pairs) < 2 or len(np.unique(pairs.item)) < 2:
        raise TooSparse(
            f"expected interest in at least two startups to learn from, got {len(pairs)} pairs; load "
            "events (`python -m pipelines import FOLDER`) or choose a later cutoff (P01, P02)"
        )
    words = words_of(users, user_profiles, startup_profiles, plan.terms)
    with one_thread():
        watched = _watch(interactions, pairs, words, plan)
        epochs = watched.best_epoch if watched else plan.config.epochs
        inputs = inputs_of(interactions, pairs, words)
        final = _train(inputs, pairs, None, plan, epochs)
        tensors = on_device(inputs, plan.device)
        user_factors, item_factors = vectors(final.towers, tensors)
        more = {"user_lengths": lengths(final.towers, tensors), "history_vectors": history_table(final.towers, tensors)}
    config = _config(interactions, pairs, inputs, plan) | {
        "epochs": epochs,
        "loss": final.losses,
        "watched_loss": watched.losses if watched else [],
        "held_out_gain": watched.held_out if watched else [],
    }
    arrays = {
        "user_factors": user_factors,
        "item_factors": item_factors,
        "tokens": words.tokens,
        "rarity": words.rarity,
        "token_vectors": table(final.towers, "user_words"),
        "startup_token_vectors": table(final.towers, "item_words"),
        **more,
    }
    return Bundle(
        NAME, config, arrays, {"user": users.ids, "item": startups.ids}, {f"{NAME}_best.pth": _file(final.towers)}
    )


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Trained towers and the mean loss of each epoch.

    held_out: the metric of the late pairs after each epoch.
    """

    towers: torch.nn.ModuleDict
    losses: list[float]
    held_out: list[float]

    @property
    def best_epoch(self) -> int:
        return int(np.argmax(self.held_out)) + 1


def _watch(interactions: Interactions, pairs: Pairs, words: Words, plan: Plan) -> _Fitted | None:
    """Train on early events and evaluate on pairs first seen in late ones; None if these are too few.

    None also without `early_stopping`.
    """
    if not plan.config.early_stopping:
        return None
    late_from = int(np.quantile(interactions.at, 1 - LATE_SHARE))
    early = interactions.before(late_from)
    early_pairs = Pairs.from_interactions(early, plan.config.half_life_share)
    late = Late.from_pairs(pairs, early)
    if len(late.user) < WATCHED or len(early_pairs) < WATCHED:
        return None
    return _train(inputs_of(early, early_pairs, words), early_pairs, late, plan, plan.config.epochs)


def _train(inputs: TowerInputs, pairs: Pairs, late: Late | None, plan: Plan, epochs: int) -> _Fitted:
    """Train from scratch. With late pairs, stop after PATIENCE epochs without a better metric."""
    users = len(inputs.user_id) if inputs.user_id.any() else 0
    sizes = users, len(inputs.item_id), inputs.terms, plan.config.dimensions
    towers = _seeded(towers_of(*sizes), plan)
    tensors = on_device(inputs, plan.device)
    optimiser = Adam(towers.parameters(), lr=plan.config.learning_rate)
    rng = np.random.default_rng(plan.seed)
    losses: list[float] = []
    held_out: list[float] = []
    for _ in range(epochs):
        losses.append(_epoch(towers, tensors, pairs, optimiser, rng, plan))
        if not np.isfinite(losses[-1]):
            raise TrainingError(
                f"expected a finite loss, got {losses[-1]} in epoch {len(losses)}; lower "
                f"[two_tower] learning_rate, now {plan.config.learning_rate}"
            )
        if late is not None:
            held_out.append(_held_out_gain(towers, tensors, late))
        _LOG.info("two-tower epoch %d: loss %.4f, late pairs %s", len(losses), losses[-1], held_out[-1:])
        if len(held_out) - 1 - int(np.argmax(held_out or [0])) >= PATIENCE:
            break
    return _Fitted(towers, losses, held_out)


def _epoch(
    towers: torch.nn.ModuleDict,
    tensors: dict[str, torch.Tensor],
    pairs: Pairs,
    optimiser: Adam,
    rng: np.random.Generator,
    plan: Plan,
) -> float:
    """Train on all pairs, or on a sample of `rows` of them, once; return the mean loss."""
    import torch

    order = rng.permutation(len(pairs))[: plan.config.rows]
    batch = min(plan.config.batch, max(len(order) // 16, 2))
    total = 0.0
    for at in range(0, len(order) - 1, batch):
        rows = order[at : at + batch]
        drawn = (pairs.user[rows], pairs.item[rows], pairs.weight[rows])
        user, item, weight = (torch.from_numpy(a).to(plan.device) for a in drawn)
        dropped = [torch.from_numpy(rng.random(len(rows)) < ID_DROPOUT).to(plan.device) for _ in range(2)]
        loss = _loss(towers, tensors, user.long(), item.long(), weight, dropped)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += float(loss.detach()) * len(rows)
    return round(total / len(order), 6)


def _loss(
    towers: torch.nn.ModuleDict,
    tensors: dict[str, torch.Tensor],
    user: torch.Tensor,
    item: torch.Tensor,
    weight: torch.Tensor,
    dropped: list[torch.Tensor],
) -> torch.Tensor:
    """Return the weighted cross entropy of each user's startup within the batch, and vice versa."""
    import torch

    history = tensors["history"][user]
    history = torch.where(history == item[:, None] + 1, 0, history)  # the target must not be part of the input
    people = people_of(towers, tensors, user, history, dropped[0])
    startups = startups_of(towers, tensors, item, dropped[1])
    scores = people @ startups.T / TEMPERATURE
    forward = (scores - tensors["item_share"][item]).masked_fill_(_repeats(item), -1e9)
    backward = (scores.T - tensors["user_share"][user]).masked_fill_(_repeats(user), -1e9)
    forward = torch.cat([forward, _hard(towers, tensors, people, user)], dim=1)
    target = torch.arange(len(user), device=user.device)
    cross_entropy = torch.nn.functional.cross_entropy
    both = cross_entropy(forward, target, reduction="none") + cross_entropy(backward, target, reduction="none")
    return (both * weight).sum() / (2 * weight.sum())


def _repeats(drawn: torch.Tensor) -> torch.Tensor:
    """Return (b, b) bool: other draws of a row's own target, which are not its negatives."""
    return (drawn[:, None] == drawn[None, :]).fill_diagonal_(False)


def _hard(
    towers: torch.nn.ModuleDict, tensors: dict[str, torch.Tensor], people: torch.Tensor, user: torch.Tensor
) -> torch.Tensor:
    """Return (b, DISLIKES) scores of each user's disliked startups, which are further negatives."""
    import torch

    disliked = tensors["disliked"][user]
    row, place = torch.nonzero(disliked, as_tuple=True)
    item = disliked[row, place].long() - 1
    scores = (people[row] * startups_of(towers, tensors, item, None)).sum(1) / TEMPERATURE - tensors["item_share"][item]
    return torch.full(disliked.shape, -1e9, device=user.device).index_put((row, place), scores)


def _held_out_gain(towers: torch.nn.ModuleDict, tensors: dict[str, torch.Tensor], late: Late) -> float:
    """Return the mean of 1 / log2(1 + rank) over late pairs, among known startups new to the user.

    A ranking metric, because the cross entropy of other startups rises long before the lists get worse.
    """
    who, place = np.unique(late.user, return_inverse=True)
    people, startups = vectors(towers, tensors, who)
    unmet = tensors["item_id"].cpu().numpy() == 0
    total = 0.0
    for rows in np.array_split(np.arange(len(late.user)), max(len(late.user) // 256, 1)):
        scores = people[place[rows]] @ startups.T
        wanted = scores[np.arange(len(rows)), late.item[rows]]
        above = (scores > wanted[:, None]) & ~unmet & (late.met[late.user[rows]].toarray() == 0)
        total += float((1 / np.log2(2 + above.sum(axis=1))).sum())
    return round(total / len(late.user), 6)


def _seeded(towers: torch.nn.ModuleDict, plan: Plan) -> torch.nn.ModuleDict:
    """Draw small random weights by seed. The padding row 0 stays zero."""
    import torch

    generator = torch.Generator().manual_seed(plan.seed)
    with torch.no_grad():
        for name, weight in towers.named_parameters():
            if name == "history.weight":
                weight.copy_(torch.eye(plan.config.dimensions))
            else:
                weight.normal_(0.0, 0.05, generator=generator)[0] = 0.0
    return towers.to(plan.device)


def _file(towers: torch.nn.ModuleDict) -> bytes:
    """Return the state dict as a file, to be read with weights_only."""
    import torch

    buffer = io.BytesIO()
    torch.save({name: tensor.cpu().contiguous() for name, tensor in towers.state_dict().items()}, buffer)
    return buffer.getvalue()


def _config(interactions: Interactions, pairs: Pairs, inputs: TowerInputs, plan: Plan) -> dict[str, Any]:
    return {
        "rows": len(interactions),
        "pairs": len(pairs),
        "terms": inputs.terms,
        "seed": plan.seed,
        "dimensions": plan.config.dimensions,
        "batch": plan.config.batch,
        "device": plan.device,
        "learning_rate": plan.config.learning_rate,
        "max_epochs": plan.config.epochs,
        "rows_per_epoch": plan.config.rows,
        "half_life_share": plan.config.half_life_share,
        "temperature": TEMPERATURE,
        "id_dropout": ID_DROPOUT,
        "words": WORDS,
        "history": HISTORY,
        "known_users": int((inputs.history[:, 0] > 0).sum()),
        "known_startups": int((inputs.item_id > 0).sum()),
    }
