"""Similar lists of the planted world: right answers, scores by hand, reasons that are true, and who is in none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.data.bundle import Bundle
from models.data.interactions import Interactions
from models.lists.ranked_lists import RankedLists
from models.lists.reasons import facet_of, people_of
from models.recommender import similar
from models.recommender.similar import LEAST, SimilarRecommender, open_similar
from models.schema import PEOPLE_LEAST, REASONS, Entity, EventType, Method, Role, Similar
from models.scoring.top_k import on_grid
from models.sentences import sentences
from models.settings.settings import Settings
from tests.marketplace.bundles import SMALL, planted_bundles
from tests.marketplace.world import world

BOTH = pytest.mark.parametrize("kind", list(Similar))
COLUMNS = ("owner", "method", "item", "score", "source", "reason", "count", "indptr")


def opened(kind: Similar, without: str = "", settings: Settings = SMALL) -> SimilarRecommender:
    bundles = {name: b for name, b in planted_bundles().items() if not (without and name.startswith(without))}
    return open_similar(kind, bundles, settings)


def everybody(kind: Similar, recipe: SimilarRecommender | None = None) -> RankedLists:
    recipe = recipe or opened(kind)
    return recipe.lists(recipe.entities.owners_of(kind))


def same(a: RankedLists, b: RankedLists) -> bool:
    return all(np.array_equal(getattr(a, c), getattr(b, c)) for c in COLUMNS)


def _of(kind: Similar, lists: RankedLists) -> np.ndarray:
    """Return the owner of every place."""
    return np.repeat(lists.owner, np.diff(lists.indptr))


@BOTH
def test_the_own_group_comes_first(kind: Similar) -> None:
    w, lists = world(), everybody(kind)
    group = w.group(kind.owner)
    right = [
        (group[lists.item[lists.row(i)][:5]] == group[o]).mean()
        for i, o in enumerate(lists.owner)
        if len(lists.item[lists.row(i)])
    ]
    assert np.mean(right) > 0.95


@BOTH
def test_a_list_has_its_scores_and_no_owner_withdrawn_or_opted_out(kind: Similar) -> None:
    w, lists = world(), everybody(kind)
    listed = w.entities(kind.owner).listed
    assert listed[lists.item].all() and (lists.item != _of(kind, lists)).all()
    for i in range(len(lists)):
        score, item = lists.score[lists.row(i)], lists.item[lists.row(i)]
        assert len(score) <= SMALL.similar.depth and len(np.unique(item)) == len(item)
        assert not len(score) or (score[0] == 1 and (np.diff(score) <= 0).all() and (score > 0).all())


def test_a_developer_gets_developers_and_an_investor_investors() -> None:
    w, lists = world(), everybody(Similar.USERS)
    assert (w.users.role[lists.item] == w.users.role[_of(Similar.USERS, lists)]).all()
    assert set(w.users.role[lists.owner]) == {Role.DEVELOPER.code, Role.INVESTOR.code}


def test_who_opted_out_gets_an_empty_list() -> None:
    w, lists = world(), everybody(Similar.USERS)
    assert (np.diff(lists.indptr)[w.users.opted_out[lists.owner]] == 0).all() and w.users.opted_out.any()


@BOTH
def test_one_owner_and_a_batch_agree_for_any_number_of_threads(kind: Similar, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, lists = opened(kind), everybody(kind)
    rows = recipe.entities.owners_of(kind)
    assert same(recipe.lists(rows, threads=3), lists)
    monkeypatch.setattr(similar, "CHUNK", 5)
    assert same(recipe.lists(rows), lists)
    alone = RankedLists.concat([recipe.lists(rows[i : i + 1]) for i in range(len(rows))])
    assert same(alone, lists)


@BOTH
def test_scores_are_cosines_by_hand(kind: Similar) -> None:
    """The score of a pair from the bundles' own numbers, over the best of the list."""
    recipe, lists = opened(kind), everybody(kind)
    bundles, entities = planted_bundles(), recipe.entities
    near = bundles["item_neighbours_v1" if kind is Similar.STARTUPS else "item_neighbours_reverse_v1"].arrays
    vectors = on_grid(bundles["content_v1"].arrays[f"{kind.owner}_vectors"])
    config = SMALL.similar

    def score(a: int, b: int) -> float:
        row = slice(near["indptr"][a], near["indptr"][a + 1])
        cosine = dict(zip(near["indices"][row].tolist(), near["data"][row].tolist(), strict=True)).get(b, 0.0)
        profile = float(vectors[a] @ vectors[b])
        partners = (1 + entities.count[b]) ** config.popularity
        return cosine * partners + config.content * (profile if profile >= LEAST else 0)

    for i in range(0, len(lists), 5):
        owner, items = int(lists.owner[i]), lists.item[lists.row(i)].tolist()
        if items:
            assert np.allclose(
                [score(owner, b) / score(owner, items[0]) for b in items], lists.score[lists.row(i)], atol=1e-5
            )
            pool = entities.items_of(kind)
            pool = pool[entities.role[pool] == entities.role[owner]]
            best = sorted((b for b in pool.tolist() if b != owner), key=lambda b: -score(owner, b))[: len(items)]
            assert np.allclose([score(owner, b) for b in best], [score(owner, b) for b in items], atol=1e-6)


def test_a_startup_without_events_has_similar_ones_by_content() -> None:
    w, lists = world(), everybody(Similar.STARTUPS)
    unmet = np.flatnonzero(w.startups.count[lists.owner] == 0)
    assert len(unmet)
    for i in unmet.tolist():
        row = lists.row(i)
        assert lists.method[i] == Method.CONTENT_BASED.code and len(lists.item[row])
        assert (w.startup_group[lists.item[row]][:5] == w.startup_group[lists.owner[i]]).all()


def test_a_newcomer_gets_the_same_by_profile_alone() -> None:
    recipe = opened(Similar.STARTUPS)
    w = world()
    found = recipe.newcomer(None, "biotech genomics category:biotech", 3)
    assert found.owner.tolist() == [-1] and found.count.tolist() == [3] and len(found.item)
    assert len(set(w.startup_group[found.item[:3]].tolist())) == 1
    for role in Role:
        people = opened(Similar.USERS).newcomer(role, "tag:unity unity games", 0)
        assert (w.users.role[people.item] == role.code).all() and len(people.item)
    assert not len(opened(Similar.USERS).newcomer(None, "unity").item)
    assert not len(recipe.newcomer(None, "").item)


@BOTH
def test_either_model_is_enough_and_without_both_lists_are_empty(kind: Similar) -> None:
    by_partners, by_content = everybody(kind, opened(kind, "content")), everybody(kind, opened(kind, "item_neighbours"))
    assert set(by_partners.method.tolist()) == {Method.SIMILAR.code} and len(by_partners.item)
    short = np.diff(by_content.indptr) == 0
    assert (by_content.method[~short] == Method.CONTENT_BASED.code).all() and len(by_content.item)
    bundles = {n: b for n, b in planted_bundles().items() if not n.startswith(("content", "item_neighbours"))}
    assert not len(everybody(kind, open_similar(kind, bundles, SMALL)).item)


def test_counts_are_of_people_who_engaged_with_both_and_never_below_the_least() -> None:
    w, lists = world(), everybody(Similar.STARTUPS)
    events: Interactions = w.interactions.where(~w.users.opted_out[w.interactions.owner])
    owner, seen = _of(Similar.STARTUPS, lists), 0
    met = {(o, i) for o, i in zip(events.owner.tolist(), events.item.tolist(), strict=True)}
    did = {(o, i, k) for o, i, k in zip(events.owner.tolist(), events.item.tolist(), events.kind.tolist(), strict=True)}
    for a, b, reason in zip(owner.tolist(), lists.item.tolist(), lists.reason.tolist(), strict=True):
        event, people = people_of(reason)
        if people:
            assert (
                PEOPLE_LEAST
                <= people
                <= len([u for u in range(len(w.users)) if (u, a) in met and (u, b, event) in did])
            )
            seen += 1
    assert seen


def test_reasons_are_true_and_no_count_is_said_about_a_person() -> None:
    for kind in Similar:
        recipe, lists = opened(kind), everybody(kind)
        owner, entities = _of(kind, lists), recipe.entities
        for a, b, reason, source in zip(owner, lists.item, lists.reason.tolist(), lists.source.tolist(), strict=True):
            said = sentences(reason, source, kind.voice, int(b), entities.facets, entities.labels)
            assert 1 <= len(said) <= 3 and all("{" not in text for text in said)
            code, _, number = facet_of(reason)
            if number:
                name = next(n for n, c in REASONS.items() if c == code)
                assert entities.facets[name][a] == entities.facets[name][b] >= 0
                assert f"the same {name}: {entities.labels[name][entities.facets[name][b]]}" in said
            if kind is Similar.USERS:
                assert people_of(reason) == (0, 0)


def test_a_reason_counts_what_the_same_people_did() -> None:
    bits = EventType.INTEREST.code << 14 | 12 << 18
    said = sentences(bits | 4 << 24, 1 << 4, Similar.STARTUPS.voice, 0, {}, {})
    assert said == ["12 of the same people showed interest in it"]


def test_many_profiles_are_compared_within_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.recommender.leaves.LEAF", 8)
    recipe = opened(Similar.STARTUPS, "item_neighbours")
    lists, w = everybody(Similar.STARTUPS, recipe), world()
    right = w.startup_group[lists.item] == w.startup_group[_of(Similar.STARTUPS, lists)]
    assert len(lists.item) and right.mean() > 0.8


def test_depth_and_weights_are_settings() -> None:
    shallow = SMALL.layered({"similar_depth": 3}, "given")
    assert np.diff(everybody(Similar.STARTUPS, opened(Similar.STARTUPS, settings=shallow)).indptr).max() == 3
    silent = SMALL.layered({"similar_content": 0.0}, "given")
    lists = everybody(Similar.STARTUPS, opened(Similar.STARTUPS, settings=silent))
    assert set(lists.method.tolist()) == {Method.SIMILAR.code}


def test_an_erased_person_is_in_no_list() -> None:
    lists = everybody(Similar.USERS)
    row = int(lists.item[0])
    left = lists.without(row, row)
    assert row not in left.item and row not in left.owner and len(left) == len(lists) - 1


def test_a_bundle_of_other_ids_is_aligned() -> None:
    """Neighbours that lack some entities, such as those of a refresh, give the others' lists unchanged."""
    bundles = dict(planted_bundles())
    content: Bundle = bundles["content_v1"]
    shuffled = np.arange(len(content.maps["startup"]))[::2]
    part = replace(
        content,
        arrays={**content.arrays, "startup_vectors": content.arrays["startup_vectors"][shuffled]},
        maps={**content.maps, "startup": content.maps["startup"].taken(shuffled)},
    )
    recipe = open_similar(Similar.STARTUPS, {**bundles, "content_v1": part}, SMALL)
    assert recipe.entities.entity is Entity.STARTUP
    lists = recipe.lists(recipe.entities.owners_of(Similar.STARTUPS))
    assert len(lists.item)
