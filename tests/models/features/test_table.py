"""Make the learned ranker's columns on the planted world: names, numbers by hand, one owner and a batch."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from models.activity.fit import fit_activity
from models.als import ALS
from models.content import CONTENT_BASED
from models.data.batch import Candidates, Owners
from models.data.entities import UNKNOWN_TIME
from models.data.interactions import DAY_US
from models.errors import BundleCorrupt, BundleNotFound
from models.features.table import FADING, FacetAffinity, affinities, faded, overlap, popularity, recency, table
from models.recommender.candidates import learned_table, wide_candidates
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Surface
from models.scoring.scorer import Ranks
from tests.marketplace.bundles import SMALL, learned_bundles, planted_bundles
from tests.marketplace.world import world
from tests.models.features.market_by_hand import interactions, owners, people, standing, startups

FORWARD = Surface.STARTUPS_FOR_DEVELOPER


def recipe_of(surface: Surface) -> SurfaceRecommender:
    return open_recommender(surface, learned_bundles(), SMALL)


def everybody(recipe: SurfaceRecommender) -> tuple[Owners, Candidates]:
    owners = recipe.batch(recipe.owners.owners_of(recipe.surface), world().interactions)
    return owners, wide_candidates(recipe, owners)


def columns(surface: Surface) -> dict[str, np.ndarray]:
    recipe = recipe_of(surface)
    names, cells = learned_table(recipe, *everybody(recipe))
    return dict(zip(names, cells.T, strict=True))


@pytest.mark.parametrize("surface", list(Surface))
def test_an_owner_alone_has_the_rows_they_have_in_a_batch(surface: Surface) -> None:
    """Equal to the bit. Otherwise a tree would score live lists unlike the batch (A31)."""
    recipe = recipe_of(surface)
    owners, candidates = everybody(recipe)
    names, together = learned_table(recipe, owners, candidates)
    for i in range(len(owners)):
        one = owners.part(i, i + 1)
        mine = wide_candidates(recipe, one)
        place = slice(candidates.indptr[i], candidates.indptr[i + 1])
        assert np.array_equal(mine.item, candidates.item[place])
        assert np.array_equal(mine.proposed, candidates.proposed[place])
        alone = learned_table(recipe, one, mine)[1]
        different = {n for j, n in enumerate(names) if not np.array_equal(alone[:, j], together[place, j])}
        assert not different


@pytest.mark.parametrize("surface", list(Surface))
def test_every_cell_is_a_number(surface: Surface) -> None:
    for name, column in columns(surface).items():
        assert column.dtype == np.float32 and np.isfinite(column).all() and column.flags.c_contiguous, name


def test_a_stored_ranker_gets_its_columns_in_its_order() -> None:
    recipe = recipe_of(FORWARD)
    every, cells = learned_table(recipe, *everybody(recipe))
    wanted = (every[7], every[0], every[-1])

    names, found = learned_table(recipe, *everybody(recipe), wanted)

    assert names == wanted and np.array_equal(found, cells[:, [7, 0, len(every) - 1]])
    assert len(set(every)) == len(every)


def test_a_column_that_is_not_known_is_named() -> None:
    recipe = recipe_of(FORWARD)
    with pytest.raises(BundleCorrupt, match=r"asks for item_colour, which this version does not compute.*train again"):
        learned_table(recipe, *everybody(recipe), ("demand", "item_colour"))


def test_a_column_of_a_model_that_is_missing_is_named() -> None:
    lacking = {name: bundle for name, bundle in learned_bundles().items() if name != "als_v1"}
    recipe = open_recommender(FORWARD, lacking, SMALL)
    with pytest.raises(BundleCorrupt, match="asks for score_als"):
        learned_table(recipe, *everybody(recipe), ("score_als",))


def test_without_activity_there_is_no_table() -> None:
    recipe = open_recommender(FORWARD, planted_bundles(), SMALL)
    with pytest.raises(BundleNotFound, match="activity_v1"):
        learned_table(recipe, *everybody(recipe))


def test_activity_of_another_snapshot_is_no_evidence() -> None:
    bundles = dict(learned_bundles())
    fewer = replace(bundles["activity_v1"].maps["startup"], ids=bundles["activity_v1"].maps["startup"].ids[1:])
    activity = bundles["activity_v1"]
    bundles["activity_v1"] = replace(activity, maps={**activity.maps, "startup": fewer})
    with pytest.raises(BundleCorrupt, match="got other startups"):
        open_recommender(FORWARD, bundles, SMALL)


def test_columns_match_their_names() -> None:
    recipe = recipe_of(FORWARD)
    owners, candidates = everybody(recipe)
    assert recipe.evidence is not None
    found, demand = columns(FORWARD), recipe.evidence.demand[candidates.item]

    assert found["demand"] == pytest.approx(np.log(demand + 1e-4))
    assert np.array_equal(found["score_als"], np.nan_to_num(candidates.scores[ALS]))
    assert found["owner_events"] == pytest.approx(np.log1p(owners.count)[candidates.owner])
    both = np.nan_to_num(candidates.scores[CONTENT_BASED] * demand)
    assert np.array_equal(found["score_content_based_demand"], both)
    assert found["proposed_by"].max() >= 3 and found["proposed_by"].min() >= 1
    met = (owners.history > 0)[candidates.owner[0]].indices
    mine = recipe.facets["category"][met] == recipe.facets["category"][candidates.item[0]]
    assert found["met_category"][0] == pytest.approx(np.log1p(mine.sum()))


def test_ranks_by_hand() -> None:
    """0.2, 0.9, NaN, 0.2 of two owners rank third, first, last, fourth. Ties follow the place."""
    score = np.array([0.2, 0.9, np.nan, 0.2, 5.0], np.float32)
    found = np.exp(Ranks(np.array([0, 4, 5])).log(score))
    assert found == pytest.approx([2, 1, 4, 3, 1])
    assert len(Ranks(np.array([0])).log(score[:0])) == 0


def test_a_history_fades_by_half_lives() -> None:
    """1 now, a half after one half-life, an eighth after three. Without ages there is no history."""
    age = sparse.csr_matrix(
        (np.array([0, 0.02, 0.06], np.float32), np.array([1, 0, 2]), np.array([0, 1, 3])), shape=(2, 3)
    )
    row, nothing = np.array([0, 1], np.int32), sparse.csr_matrix((2, 3), dtype=np.float32)
    owners = Owners(row, row, row > 9, nothing, nothing.astype(bool), age=age)

    assert faded(owners, 0.02).toarray() == pytest.approx(np.array([[0, 1, 0], [0.5, 0, 0.125]]))
    assert not faded(replace(owners, age=None), 0.02).nnz
    assert all(f"score_item_neighbours_{h}" in columns(FORWARD) for h in FADING)


def test_nobody_is_no_trouble() -> None:
    recipe = recipe_of(FORWARD)
    owners = everybody(recipe)[0].part(0, 0)
    assert recipe.evidence is not None
    features = table(recipe.evidence, recipe.scorers, owners, wide_candidates(recipe, owners))
    assert features.cells().shape == (0, len(features.columns))


EVERYBODY = np.arange(4)


def facets(forward: bool) -> dict[str, FacetAffinity]:
    activity, sides = fit_activity(standing(), []), (people(), startups())
    mine, theirs = sides if forward else sides[::-1]
    return {facet.name: facet for facet in affinities(activity, mine, theirs, EVERYBODY)}


def lift(met: float, total: float, share: float) -> float:
    return math.log(0.05 + (met + 5 * share) / (total + 5) / (share + 0.001))


def test_lift_by_hand() -> None:
    """Interest: person 0 in startups 0 and 1 (games), person 1 in 0, person 2 in 2 (bio): 3 of 4 are games.

    Startup 3 has no value and person 3 no events: both give 0.
    """
    batch = owners([0, 1, 2, 3], interactions())

    found, met = facets(True)["category"].columns(batch, np.repeat(EVERYBODY, 4), np.tile(EVERYBODY, 4))

    def games(met: int, total: int) -> float:
        return lift(met, total, 0.75)

    def bio(met: int, total: int) -> float:
        return lift(met, total, 0.25)

    assert found.of().reshape(4, 4) == pytest.approx(
        np.array(
            [
                [games(2, 2), games(2, 2), bio(0, 2), 0],
                [games(1, 1), games(1, 1), bio(0, 1), 0],
                [games(0, 1), games(0, 1), bio(1, 1), 0],
                [0, 0, 0, 0],
            ]
        ),
        abs=1e-6,
    )
    assert met.of().reshape(4, 4) == pytest.approx(
        np.log1p(np.array([[2, 2, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])), abs=1e-6
    )


def test_a_common_value_has_no_lift_and_a_rare_one_has_much() -> None:
    """All owners meet games. The only value has a lift of about ln 1.05, a value without events ln 0.05."""
    assert lift(3, 3, 1.0) == pytest.approx(math.log(1.05), abs=1e-3)
    assert lift(0, 3, 0.0) == pytest.approx(math.log(0.05))


def test_both_sides_have_the_same_facts_of_a_pair() -> None:
    forward, reverse = facets(True), facets(False)
    person, company = np.repeat(EVERYBODY, 4), np.tile(EVERYBODY, 4)
    users, companies = owners([0, 1, 2, 3], interactions()), owners([0, 1, 2, 3], interactions().transposed())

    assert list(forward) == list(reverse) == ["category", "location", "region", "country"]
    for name, facet in forward.items():
        mine, theirs = facet.columns(users, person, company), reverse[name].columns(companies, company, person)
        for one, other in zip(mine, theirs, strict=True):
            assert np.array_equal(one.of(), other.of()) and np.isfinite(one.of()).all(), name


def test_an_unseen_owner_has_no_preference() -> None:
    for forward, mine in ((True, interactions()), (False, interactions().transposed())):
        for facet in facets(forward).values():
            found, met = facet.columns(owners([-1], mine), np.zeros(4, int), EVERYBODY)
            assert found.of().tolist() == met.of().tolist() == [0.0] * 4


def test_a_value_that_came_since_the_bundle_is_blank() -> None:
    """The bundle's values count. Entities with other values are numbered into them."""
    activity = fit_activity(standing(), [])
    other = startups(category=("games", "zeppelins", "bio", ""))

    facet = next(affinities(activity, people(), other, EVERYBODY))

    assert facet.name == "category" and facet.values == 3 and facet.code.tolist() == [1, 2, 0, 2]


NOW = 20_000 * DAY_US


def test_recency_at_the_required_checkpoints() -> None:
    """C46, C47: 1.0 when new, 0.37 after 30 days, 0.14 after 60."""
    created = np.array([NOW, NOW - 30 * DAY_US, NOW - 60 * DAY_US])

    assert recency(created, NOW, 30.0) == pytest.approx([1.0, 0.3679, 0.1353], abs=1e-4)


def test_recency_of_the_future_and_of_the_unknown() -> None:
    found = recency(np.array([NOW + 5 * DAY_US, UNKNOWN_TIME, 0]), NOW, 30.0)

    assert found.tolist() == [1.0, 0.0, 0.0]


def test_popularity_by_hand() -> None:
    """C49: log(10 + 3 x 5 + 1) / log(101)."""
    found = popularity(np.array([10, 100, 0]), np.array([5, 0, 0]), 101.0)

    assert found == pytest.approx([math.log(26) / math.log(101), 1.0, 0.0])


def test_popularity_stays_in_0_to_1_whatever_the_maximum() -> None:
    """R05: a maximum of 1 does not divide by zero, and a maximum from the past is clipped."""
    assert popularity(np.array([0, 7]), np.array([0, 0]), 1.0).tolist() == [0.0, 0.0]
    assert popularity(np.array([1000]), np.array([0]), 10.0).tolist() == [1.0]


def test_a_third_of_similarity_for_each_shared_facet() -> None:
    """C51: a blank shares nothing with a blank."""
    facets = {"category": np.array([1, 1, 1, -1]), "field": np.array([2, 2, 0, -1]), "type": np.array([3, 0, 0, -1])}

    assert overlap(facets, np.array([0]), np.array([1, 2, 3])) == pytest.approx([2 / 3, 1 / 3, 0])
    assert overlap(facets, np.array([3]), np.array([3])).tolist() == [0]
