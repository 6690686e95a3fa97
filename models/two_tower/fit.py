"""Two towers: one reads a person, one a startup, and they meet in a dot product (A05, C32).

A person is an id, the words of the profile (role and place among them) and the startups of the history; a startup is
an id and its words. Each tower adds up its embeddings and scales the sum to length 1. Both are trained by softmax
within the batch, in both directions, corrected by how often each side is drawn (logQ, Yi et al. 2019), with a
disliked startup as one more, hard, negative. Ids are dropped at times, so that words and history learn to stand
alone: who was never met has a vector by features.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.data.bundle import Bundle
from models.data.entities import Entities
from models.data.interactions import Interactions
from models.data.profile_text import Profiles
from models.data.training_data import TrainingData
from models.errors import TooSparse, TrainingError
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
#: The last share of the events tells when to stop; with fewer fresh pairs than WATCHED it would be a coin.
LATE_SHARE, WATCHED, PATIENCE = 0.1, 50, 2
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How the towers are trained. terms: words that they know at most."""

    config: TwoTowerConfig
    terms: int
    seed: int = 42
    device: str = "cpu"


def fit(data: TrainingData[TwoTowerConfig]) -> Bundle:
    """The bundle two_tower_v1; it reads as many words as [content] does."""
    said = data.profiles(data.users), data.profiles(data.startups)
    plan = Plan(data.config, data.table("content").terms, data.seed, data.device)
    return fit_two_tower(data.interactions, data.users, data.startups, *said, plan)


def fit_two_tower(
    interactions: Interactions,
    users: Entities,
    startups: Entities,
    user_profiles: Profiles,
    startup_profiles: Profiles,
    plan: Plan,
) -> Bundle:
    """The bundle two_tower_v1: user_factors, item_factors (n, d) float32, file two_tower_v1_best.pth (D19).

    Everybody has a row; a row of zeros = neither id nor word nor history: unknown. The score of a pair is the dot
    product of its rows. For those who came since: tokens (t,) ascending, rarity (t,), token_vectors of people and
    startup_token_vectors (t, d); a stranger is the normalised mean of the rarest `words` (config) of theirs. For those
    who did more since: user_lengths (n,) and history_vectors (startups, d), see `models.two_tower.scorer.TwoTowerFoldIn`.
    The last tenth of the events tells the best number of epochs, then the towers are trained anew on everything for
    so long. Same rows, settings and kind of processor: same bytes. Raises TooSparse under two pairs of interest,
    TrainingError where the loss is not finite.
    """
    pairs = Pairs.from_interactions(interactions, plan.config.half_life_share)
    if len(pairs) < 2 or len(np.unique(pairs.item)) < 2:
        raise TooSparse(
            f"expected interest in two startups at least to learn from, got {len(pairs)} pairs; load "
            "events (`python -m pipelines import FOLDER`) or choose a later cutoff (P01, P02)"
        )
    words = words_of(users, user_profiles, startup_profiles, plan.terms)
    with _pinned():
        watched = _watch(interactions, pairs, words, plan)
        epochs = watched.best_epoch if watched else plan.config.epochs
        inputs = inputs_of(interactions, pairs, words)
        final = _train(inputs, pairs, None, plan, epochs)
        tensors = on_device(inputs, plan.device)
        user_factors, item_factors = vectors(final.towers, tensors)
        said = {"user_lengths": lengths(final.towers, tensors), "history_vectors": history_table(final.towers, tensors)}
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
        **said,
    }
    return Bundle(
        NAME, config, arrays, {"user": users.ids, "item": startups.ids}, {f"{NAME}_best.pth": _file(final.towers)}
    )


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Trained towers and the mean loss of each epoch; held_out: the gain of the late pairs after each epoch."""

    towers: torch.nn.ModuleDict
    losses: list[float]
    held_out: list[float]

    @property
    def best_epoch(self) -> int:
        return int(np.argmax(self.held_out)) + 1


def _watch(interactions: Interactions, pairs: Pairs, words: Words, plan: Plan) -> _Fitted | None:
    """Train before the late events and watch the rank of the pairs first met in them; None where they are too few."""
    late_from = int(np.quantile(interactions.at, 1 - LATE_SHARE))
    early = interactions.before(late_from)
    early_pairs = Pairs.from_interactions(early, plan.config.half_life_share)
    late = Late.from_pairs(pairs, early)
    if len(late.user) < WATCHED or len(early_pairs) < WATCHED:
        return None
    return _train(inputs_of(early, early_pairs, words), early_pairs, late, plan, plan.config.epochs)


def _train(inputs: TowerInputs, pairs: Pairs, late: Late | None, plan: Plan, epochs: int) -> _Fitted:
    """Train from scratch; with late pairs, stop when they have not ranked higher for PATIENCE epochs."""
    import torch

    sizes = len(inputs.user_id), len(inputs.item_id), inputs.terms, plan.config.dimensions
    towers = _seeded(towers_of(*sizes), plan)
    tensors = on_device(inputs, plan.device)
    optimiser = torch.optim.Adam(towers.parameters(), lr=plan.config.learning_rate, fused=True)
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
    optimiser: torch.optim.Optimizer,
    rng: np.random.Generator,
    plan: Plan,
) -> float:
    """One pass over the pairs (`two_tower_rows` of them, drawn anew, where there are more); the mean loss."""
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
    """Weighted cross entropy of each person's startup among the batch's, and of each startup's person."""
    import torch

    history = tensors["history"][user]
    history = torch.where(history == item[:, None] + 1, 0, history)  # what is to be guessed is not told
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
    """(b, b) bool: the other draws of a row's own target, which are no negatives of it."""
    return (drawn[:, None] == drawn[None, :]).fill_diagonal_(False)


def _hard(
    towers: torch.nn.ModuleDict, tensors: dict[str, torch.Tensor], people: torch.Tensor, user: torch.Tensor
) -> torch.Tensor:
    """(b, DISLIKES) scores of what each person disliked, as if it were drawn into every batch of theirs."""
    import torch

    disliked = tensors["disliked"][user]
    row, place = torch.nonzero(disliked, as_tuple=True)
    item = disliked[row, place].long() - 1
    scores = (people[row] * startups_of(towers, tensors, item, None)).sum(1) / TEMPERATURE - tensors["item_share"][item]
    return torch.full(disliked.shape, -1e9, device=user.device).index_put((row, place), scores)


def _held_out_gain(towers: torch.nn.ModuleDict, tensors: dict[str, torch.Tensor], late: Late) -> float:
    """Mean of 1 / log2(1 + rank) over late pairs, ranks among the startups that were met and not by this person.

    A ranking measure because the cross entropy of unmet startups rises long before the lists get worse.
    """
    people, startups = vectors(towers, tensors)
    unmet = tensors["item_id"].cpu().numpy() == 0
    total = 0.0
    for rows in np.array_split(np.arange(len(late.user)), max(len(late.user) // 256, 1)):
        scores = people[late.user[rows]] @ startups.T
        wanted = scores[np.arange(len(rows)), late.item[rows]]
        above = (scores > wanted[:, None]) & ~unmet & (late.met[late.user[rows]].toarray() == 0)
        total += float((1 / np.log2(2 + above.sum(axis=1))).sum())
    return round(total / len(late.user), 6)


def _seeded(towers: torch.nn.ModuleDict, plan: Plan) -> torch.nn.ModuleDict:
    """Small random weights from the seed; nothing (place 0) stays zero."""
    import torch

    generator = torch.Generator().manual_seed(plan.seed)
    with torch.no_grad():
        for name, weight in towers.named_parameters():
            if name == "history.weight":
                weight.copy_(torch.eye(plan.config.dimensions))
            else:
                weight.normal_(0.0, 0.05, generator=generator)[0] = 0.0
    return towers.to(plan.device)


@contextmanager
def _pinned() -> Iterator[None]:
    """torch on one thread, and as it was found afterwards.

    A batch is too little work to share: on a busy machine two threads that wait for each other took nine times the
    processor time of one. So the bytes do not depend on the number of threads either.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _file(towers: torch.nn.ModuleDict) -> bytes:
    """The state dict, to be read with weights_only."""
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
        "known_users": int((inputs.user_id > 0).sum()),
        "known_startups": int((inputs.item_id > 0).sum()),
    }
