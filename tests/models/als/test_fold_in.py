"""Fold in events since the training: ALS against implicit's partial fit, the two-tower model against torch."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from implicit.cpu.als import AlternatingLeastSquares

from models.als import ALS, ALS_REVERSE
from models.data.batch import Owners
from models.data.entities import IdMap
from models.data.interactions import DAY_US, Interactions, faded_csr
from models.recommender.recommend import recommend
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Entity, EventType, Method, Role, Surface
from models.settings.settings import Settings
from models.spec import Source
from models.two_tower import TWO_TOWER, network
from models.two_tower.inputs import Pairs, inputs_of, words_of
from tests.marketplace.bundles import SMALL, planted_bundles
from tests.marketplace.data import fitted, plan_of
from tests.marketplace.world import AS_OF_US, STRANGER, world

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
LIKE, DISLIKE = EventType.LIKE, EventType.DISLIKE


def recipe(surface: Surface = SURFACE, settings: Settings = SMALL) -> SurfaceRecommender:
    return open_recommender(surface, planted_bundles(), settings)


def events(
    surface: Surface, rows: list[int], kinds: list[EventType], after_days: float = 1.0, owner: str = STRANGER
) -> Interactions:
    """Make one owner's events with the other side, one per second from `after_days` after the cutoff."""
    items = world().entities(surface.item).ids
    at = AS_OF_US + int(after_days * DAY_US) + np.arange(len(rows), dtype=np.int64) * 1_000_000
    kind = np.array([k.code for k in kinds], np.int8)
    owners = IdMap.from_ids([owner])
    return Interactions(owners, items, np.zeros(len(rows), np.int32), np.array(rows, np.int32), kind, at)


def of_group(entity: Entity, group: int, n: int) -> list[int]:
    return np.flatnonzero(world().group(entity) == group)[:n].tolist()


def stranger(r: SurfaceRecommender, new: Interactions, text: str = "", row: int = -1) -> Owners:
    barred = new.pairs()[:, r.catalogue].tocsr()
    return r.unseen_owner(len(new), new.csr()[:, r.catalogue].tocsr(), barred, text, row=row, events=new)


def add(first: Interactions, second: Interactions) -> Interactions:
    columns: dict[str, Any] = {
        c: np.concatenate([getattr(first, c), getattr(second, c)]) for c in ("owner", "item", "kind", "at")
    }
    return replace(first, **columns)


@pytest.mark.parametrize(
    ("surface", "name", "source"),
    [(SURFACE, "als_v1", ALS), (Surface.INVESTORS_FOR_STARTUP, "als_reverse_v1", ALS_REVERSE)],
)
def test_als_gives_the_factors_of_implicits_partial_fit(surface: Surface, name: str, source: Source) -> None:
    r, bundle = recipe(surface), planted_bundles()[name]
    rows = [*of_group(surface.item, 1, 4), *of_group(surface.item, 2, 1)]
    new = events(surface, rows, [LIKE, LIKE, EventType.VIEW, EventType.APPLY, DISLIKE])
    vector = r.folds[source].vector(stranger(r, new), new, r.as_of_us)
    config = bundle.config
    solver = AlternatingLeastSquares(
        factors=config["factors"], regularization=config["regularization"], alpha=config["alpha"]
    )
    solver.item_factors = bundle.arrays["item_factors"]
    weights = new.csr(config["half_life_days"] or None, r.as_of_us, config["damping"])
    known = bundle.maps["item"].rows_of(new.items.ids)
    weights = weights[:, np.flatnonzero(known >= 0)]  # the solver knows only its own items, in the same order
    weights.data = np.sign(weights.data) * np.maximum(np.abs(weights.data), 1 / config["alpha"])
    assert vector is not None
    assert vector == pytest.approx(solver.recalculate_user(0, weights), rel=1e-3, abs=1e-5)


def test_weights_fade_as_in_training() -> None:
    """Folding in the events of training gives an owner the same weights as the training."""
    w, settings = world(), SMALL.layered({"als_half_life_share": 0.3, "als_damping": "log"}, "given")
    bundle = fitted("als", w.interactions, settings)
    newest = bundle.config["faded_from_us"]
    row = int(np.argmax(w.users.count))
    mine = w.interactions.where(w.interactions.owner == row)
    trained = faded_csr(w.interactions, 0.3, "log")[row]
    folded = mine.csr(bundle.config["half_life_days"], newest, "log")[row]
    assert folded.toarray() == pytest.approx(trained.toarray(), rel=1e-5)


def test_without_usable_data_als_has_no_scores() -> None:
    r = recipe()
    fold, unmet = (
        r.folds[ALS],
        np.flatnonzero(np.isin(world().startups.ids.ids, planted_bundles()["als_v1"].maps["item"].ids, invert=True)),
    )
    liked = of_group(Entity.STARTUP, 0, 1)
    for rows, kinds in ((liked, [DISLIKE]), ([int(unmet[0])], [LIKE]), ([], [])):
        new = events(SURFACE, rows, kinds)
        assert fold.vector(stranger(r, new), new, r.as_of_us) is None
    strict = planted_bundles()["als_v1"]
    strict = replace(strict, config={**strict.config, "min_interactions": 2})
    again = open_recommender(SURFACE, {**planted_bundles(), "als_v1": strict}, SMALL).folds[ALS]
    assert again.vector(stranger(r, events(SURFACE, liked, [LIKE])), events(SURFACE, liked, [LIKE]), r.as_of_us) is None


def tower_vectors(history: Interactions, user: int) -> np.ndarray:
    """Compute with torch the vector of a user with this history, with id and words as trained."""
    w, bundle = world(), planted_bundles()["two_tower_v1"]
    heard = w.interactions.where(~w.users.opted_out[w.interactions.owner])
    words = words_of(w.users, w.user_profiles, w.startup_profiles, plan_of(SMALL).terms)
    trained, now = (
        inputs_of(e, Pairs.from_interactions(e, SMALL.table("two_tower").half_life_share), words)
        for e in (heard, history)
    )
    inputs = replace(trained, history=now.history)
    towers = network.towers_of(len(w.users), len(w.startups), inputs.terms, SMALL.table("two_tower").dimensions)
    towers.load_state_dict(torch.load(io.BytesIO(bundle.files["two_tower_v1_best.pth"]), weights_only=True))
    return network.vectors(towers, network.on_device(inputs, SMALL.device))[0][user]


def test_the_user_tower_reads_what_a_known_person_did_since() -> None:
    w, r = world(), recipe()
    user = int(w.rows(Role.DEVELOPER, 4)[0])
    mine = w.interactions.where(w.interactions.owner == user)
    known = np.asarray(planted_bundles()["two_tower_v1"].arrays["history_vectors"].any(axis=1))
    fresh = [i for i in of_group(Entity.STARTUP, 2, 12) if i not in set(mine.item.tolist()) and known[i]][:3]
    new = events(SURFACE, fresh, [LIKE] * len(fresh), owner=str(w.users.ids.ids[user]))
    both = add(replace(new, item=mine.item, kind=mine.kind, at=mine.at, owner=np.zeros(len(mine), np.int32)), new)
    heard = w.interactions.where(~w.users.opted_out[w.interactions.owner])
    theirs = replace(heard, owner=np.full(len(new), user, np.int32), item=new.item, kind=new.kind, at=new.at)
    longer = add(heard, theirs)
    vector = r.folds[TWO_TOWER].vector(stranger(r, both, row=user), both, r.as_of_us)
    assert vector == pytest.approx(tower_vectors(longer, user), abs=1e-4)
    before = r.folds[TWO_TOWER].vector(stranger(r, both, row=user), both.before(AS_OF_US), r.as_of_us)
    assert before == pytest.approx(tower_vectors(heard, user), abs=1e-4)
    assert vector != pytest.approx(before, abs=1e-2)


def test_a_recipe_is_itself_for_whom_the_models_know_everything_about() -> None:
    w, r = world(), recipe()
    user = int(w.rows(Role.DEVELOPER, 4)[0])
    old = events(SURFACE, of_group(Entity.STARTUP, 0, 3), [LIKE] * 3, after_days=-50)
    assert r.with_fold_in(stranger(r, old, row=user), old) is r
    none = events(SURFACE, [], [])
    assert r.with_fold_in(stranger(r, none), none) is r
    new = events(SURFACE, of_group(Entity.STARTUP, 0, 3), [LIKE] * 3)
    assert r.with_fold_in(stranger(r, new, row=user), new) is not r


@pytest.mark.parametrize("surface", [SURFACE, Surface.DEVELOPERS_FOR_STARTUP])
@pytest.mark.parametrize(("count", "words"), [(6, ""), (6, "biotech genomics"), (22, "")])
def test_a_new_owner_gets_the_routed_method(surface: Surface, count: int, words: str) -> None:
    """Six likes of group 1 give the list of a warm owner of group 1, for any profile (B06)."""
    w, r = world(), recipe(surface)
    rows = of_group(surface.item, 1, 6)
    new = events(surface, rows, [LIKE] * len(rows))
    owners = replace(stranger(r, new, words), count=np.array([count], np.int32))
    lists = recommend(r.with_fold_in(owners, new), owners, 4)
    method = Method.of_code(lists.method[0])
    warm = Method.ALS if surface is SURFACE else Method.ALS_REVERSE
    hot = Method.ENSEMBLE if surface is SURFACE else Method.ALS_REVERSE
    assert method is (warm if count < 20 else hot)
    assert set(w.group(surface.item)[lists.item].tolist()) == {1}
    assert method is not Method.of_code(recommend(r, owners, 4).method[0])
