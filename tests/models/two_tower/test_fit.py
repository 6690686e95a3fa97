"""Fit the two towers: right answers also for cold-start entities, the loss by hand, bytes, errors (A05, C32)."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from models import two_tower as declared
from models.data.bundle import Bundle
from models.data.interactions import Interactions
from models.errors import TooSparse, TrainingError
from models.schema import EventType, Role
from models.settings.settings import Settings
from models.two_tower import fit as two_tower
from models.two_tower import inputs as tower_inputs
from models.two_tower import network
from models.two_tower.fit import TEMPERATURE, fit_two_tower
from models.two_tower.inputs import DISLIKES, HISTORY, WORDS, Late, Pairs, inputs_of, words_of
from models.two_tower.network import towers_of
from tests.marketplace.data import plan_of
from tests.marketplace.world import world
from tests.models.model_contract import SMALL, ModelContract, first_choices

BRIEF = SMALL.layered({"two_tower_epochs": 3}, "given")
LONG = SMALL.layered({"two_tower_epochs": 12}, "given")


def fitted(interactions: Interactions, settings: Settings = BRIEF) -> Bundle:
    w = world()
    return fit_two_tower(interactions, w.users, w.startups, w.user_profiles, w.startup_profiles, plan_of(settings))


@cache
def of_the_world() -> Bundle:
    return fitted(world().interactions, LONG)


class TestTwoTower(ModelContract):
    spec = declared.SPEC
    settings = SMALL.layered({"two_tower_epochs": 2}, "given")

    def test_first_choices_lie_in_the_planted_group(self) -> None:
        w, bundle = world(), of_the_world()
        people, startups = bundle.arrays["user_factors"], bundle.arrays["item_factors"]
        best = first_choices(people, startups, w.interactions.pairs().toarray() > 0)
        right = w.startup_group[best] == w.user_group
        assert right.mean() > 0.95
        silent = np.concatenate([w.rows(role, 1) for role in Role])
        assert right[silent].all(), "their words alone tell the group"

    def test_an_item_without_events_is_near_its_group(self) -> None:
        w, bundle = world(), of_the_world()
        unmet = np.flatnonzero(w.startup_part == 2)
        scores = bundle.arrays["item_factors"][unmet] @ bundle.arrays["user_factors"].T
        for row, group in zip(scores, w.startup_group[unmet], strict=True):
            assert row[w.user_group == group].mean() > max(
                row[w.user_group == g].mean() for g in range(3) if g != group
            )

    def test_every_entity_has_a_row(self) -> None:
        w, bundle = world(), of_the_world()
        assert bundle.maps["user"] is w.users.ids and bundle.maps["item"] is w.startups.ids
        assert np.linalg.norm(bundle.arrays["user_factors"], axis=1) == pytest.approx(1.0, abs=1e-5)
        assert np.linalg.norm(bundle.arrays["item_factors"], axis=1) == pytest.approx(1.0, abs=1e-5)


def test_the_file_holds_the_towers_that_made_the_factors() -> None:
    w, bundle = world(), of_the_world()
    state = torch.load(io.BytesIO(bundle.files["two_tower_v1_best.pth"]), weights_only=True)
    towers = towers_of(len(w.users), len(w.startups), bundle.config["terms"], LONG.table("two_tower").dimensions)
    towers.load_state_dict(state)
    words = words_of(w.users, w.user_profiles, w.startup_profiles, plan_of(LONG).terms)
    pairs = Pairs.from_interactions(w.interactions, LONG.table("two_tower").half_life_share)
    inputs = inputs_of(w.interactions, pairs, words)
    people, startups = network.vectors(towers, network.on_device(inputs, LONG.device))
    assert (people == bundle.arrays["user_factors"]).all() and (startups == bundle.arrays["item_factors"]).all()


def test_epochs_are_chosen_by_late_events_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_tower, "WATCHED", 10)
    monkeypatch.setattr(two_tower, "LATE_SHARE", 0.5)
    w = world()
    mixed = replace(w.interactions, at=np.random.default_rng(0).permutation(w.interactions.at))
    config = fitted(mixed, LONG).config
    gains = config["held_out_gain"]
    assert (
        config["epochs"]
        == int(np.argmax(gains)) + 1
        == len(config["loss"])
        <= len(gains)
        <= LONG.table("two_tower").epochs
    )
    assert config["loss"][-1] < config["loss"][0]


def test_the_loss_by_hand() -> None:
    """Softmax in both directions with logQ, without a repeated startup, with one dislike as another negative."""
    w = world()
    settings = SMALL.layered({"two_tower_half_life_share": 0.0}, "given")
    pairs = Pairs.from_interactions(w.interactions, settings.table("two_tower").half_life_share)
    inputs = inputs_of(
        w.interactions, pairs, words_of(w.users, w.user_profiles, w.startup_profiles, plan_of(settings).terms)
    )
    towers = two_tower._seeded(towers_of(len(w.users), len(w.startups), inputs.terms, 16), plan_of(settings))
    tensors = network.on_device(inputs, settings.device)
    rows = [0, 1, 50, 100, 200, int(np.flatnonzero(pairs.item == pairs.item[0])[1])]
    user, item, weight = (torch.from_numpy(a[rows]) for a in (pairs.user, pairs.item, pairs.weight))
    keep = [torch.zeros(6, dtype=torch.bool)] * 2
    loss = two_tower._loss(towers, tensors, user.long(), item.long(), weight, keep)
    table = {k: v.detach().numpy().astype(float) for k, v in towers.state_dict().items()}
    sides = ((pairs.item, w.startups), (pairs.user, w.users))
    share = [np.log(np.maximum(np.bincount(x, minlength=len(n)), 1) / len(pairs)) for x, n in sides]

    def mean(name: str, places: np.ndarray) -> np.ndarray:
        return table[f"{name}.weight"][places[places > 0]].sum(0) / max((places > 0).sum(), 1)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x)

    def startup(i: int) -> np.ndarray:
        return unit(table["item_id.weight"][inputs.item_id[i]] + mean("item_words", inputs.item_words[i]))

    def person(u: int, target: int) -> np.ndarray:
        history = inputs.history[u][inputs.history[u] != target + 1]
        past = mean("item_id", history) @ table["history.weight"].T
        return unit(table["user_id.weight"][u + 1] + mean("user_words", inputs.user_words[u]) + past)

    users, items = pairs.user[rows], pairs.item[rows]
    people = [person(u, i) for u, i in zip(users, items, strict=True)]
    total = 0.0
    for a in range(6):
        ahead = [
            people[a] @ startup(items[b]) / TEMPERATURE - share[0][items[b]]
            for b in range(6)
            if b == a or items[b] != items[a]
        ]
        ahead += [
            people[a] @ startup(d - 1) / TEMPERATURE - share[0][d - 1] for d in inputs.disliked[users[a]] if d > 0
        ]
        back = [
            people[b] @ startup(items[a]) / TEMPERATURE - share[1][users[b]]
            for b in range(6)
            if b == a or users[b] != users[a]
        ]
        score = people[a] @ startup(items[a]) / TEMPERATURE
        lost = np.log(np.exp(ahead).sum()) - score + share[0][items[a]]
        total += pairs.weight[rows][a] * (lost + np.log(np.exp(back).sum()) - score + share[1][users[a]])
    assert (inputs.disliked[users] > 0).any()
    assert float(loss.detach()) == pytest.approx(total / (2 * pairs.weight[rows].sum()), rel=1e-4)


def test_a_dislike_moves_a_startup_away() -> None:
    """The same events with and without dislikes of an unmet startup of the same group."""
    w = world()
    target = int(np.flatnonzero((w.startup_group == 1) & (w.startup_part == 5))[0])
    haters = np.flatnonzero((w.user_group == 1) & np.isin(w.user_part, (4, 7, 10))).astype(np.int32)
    more = Interactions(
        w.users.ids,
        w.startups.ids,
        np.concatenate([w.interactions.owner, haters]),
        np.concatenate([w.interactions.item, np.full(len(haters), target, np.int32)]),
        np.concatenate([w.interactions.kind, np.full(len(haters), EventType.DISLIKE.code, np.int8)]),
        np.concatenate([w.interactions.at, np.full(len(haters), w.interactions.at.min())]),
    )
    score = [
        b.arrays["user_factors"][haters] @ b.arrays["item_factors"][target]
        for b in (of_the_world(), fitted(more, LONG))
    ]
    assert score[1].mean() < score[0].mean() - 0.05


def test_pairs_weigh_by_interest_and_age() -> None:
    w = world()
    flat, faded = (Pairs.from_interactions(w.interactions, s) for s in (0.0, 0.1))
    assert len(flat) == (w.interactions.csr() > 0).sum() and flat.weight.mean() == pytest.approx(1.0)
    expected = np.log1p(np.asarray(w.interactions.csr()[flat.user, flat.item]).ravel())
    assert flat.weight == pytest.approx(expected / expected.mean(), rel=1e-5)
    assert faded.weight.max() > flat.weight.max()


def test_inputs_are_bounded_and_newest_first() -> None:
    w = world()
    pairs = Pairs.from_interactions(w.interactions, SMALL.table("two_tower").half_life_share)
    inputs = inputs_of(
        w.interactions, pairs, words_of(w.users, w.user_profiles, w.startup_profiles, plan_of(SMALL).terms)
    )
    assert inputs.history.shape == (len(w.users), HISTORY) and inputs.disliked.shape == (len(w.users), DISLIKES)
    assert inputs.user_words.shape[1] == inputs.item_words.shape[1] == WORDS
    person = int(w.rows(Role.INVESTOR, 6)[0])
    mine = w.interactions.where((w.interactions.owner == person) & (w.interactions.kind != EventType.DISLIKE.code))
    last = {int(i): int(mine.at[mine.item == i].max()) for i in np.unique(mine.item)}
    disliked = set(w.interactions.disliked()[person].indices.tolist())
    expected = sorted((i for i in last if i not in disliked), key=lambda i: (-last[i], i))
    assert [h - 1 for h in inputs.history[person] if h] == expected
    assert {d - 1 for d in inputs.disliked[person] if d} == disliked


def test_late_pairs_are_new_and_of_the_known() -> None:
    w = world()
    early = w.interactions.before(int(np.quantile(w.interactions.at, 0.7)))
    late = Late.from_pairs(Pairs.from_interactions(w.interactions, SMALL.table("two_tower").half_life_share), early)
    met = early.pairs().toarray() > 0
    assert len(late.user) and not met[late.user, late.item].any()
    assert met.any(1)[late.user].all() and met.any(0)[late.item].all()


def test_many_users_have_no_embedding_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    w = world()
    monkeypatch.setattr(tower_inputs, "MOST_IDS", len(w.users) - 1)
    bundle = fitted(w.interactions, LONG)
    state = torch.load(io.BytesIO(bundle.files["two_tower_v1_best.pth"]), weights_only=True)
    assert len(state["user_id.weight"]) == 1 and bundle.config["known_users"] == of_the_world().config["known_users"]
    erased = network.zero_embedding(bundle.files["two_tower_v1_best.pth"], "user", 3)
    assert torch.load(io.BytesIO(erased), weights_only=True).keys() == state.keys()
    best = first_choices(
        bundle.arrays["user_factors"], bundle.arrays["item_factors"], w.interactions.pairs().toarray() > 0
    )
    assert (w.startup_group[best] == w.user_group).mean() > 0.95


def test_too_little_is_refused_with_the_cure() -> None:
    w = world()
    with pytest.raises(TooSparse, match="import"):
        fitted(w.interactions.where(np.zeros(len(w.interactions), bool)))
    with pytest.raises(TooSparse, match="two startups"):
        fitted(w.interactions.where(w.interactions.item == w.interactions.item[0]))


def test_a_degenerate_loss_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"finite loss.*learning_rate"):
        fitted(world().interactions, BRIEF.layered({"two_tower_learning_rate": 1e38}, "given"))


def test_few_events_are_trained_without_a_watch() -> None:
    w = world()
    few = w.interactions.where(w.interactions.at < np.quantile(w.interactions.at, 0.1))
    config = fitted(few, BRIEF).config
    assert config["held_out_gain"] == [] and config["epochs"] == BRIEF.table("two_tower").epochs
