"""The columns of the learned ranker on the planted world: their names, some by hand, the same alone and in a batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from models.als import ALS
from models.content import CONTENT_BASED
from models.data.batch import Candidates, Owners
from models.errors import BundleCorrupt, BundleNotFound
from models.features.table import FADING, faded, table
from models.recommender.candidates import learned_table, wide_candidates
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Surface
from models.scoring.scale import log_rank
from tests.marketplace.bundles import SMALL, learned_bundles, planted_bundles
from tests.marketplace.world import world

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
    """A31: bit for bit, or a tree would answer otherwise live than in the batch."""
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


def test_columns_say_what_their_names_say() -> None:
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
    """Two owners: 0.2, 0.9, NaN, 0.2 are third, first, last and fourth: ties go by place, NaN is last."""
    score = np.array([0.2, 0.9, np.nan, 0.2, 5.0], np.float32)
    found = np.exp(log_rank(score, np.array([0, 4, 5])))
    assert found == pytest.approx([2, 1, 4, 3, 1])
    assert len(log_rank(score[:0], np.array([0]))) == 0


def test_a_history_fades_by_half_lives() -> None:
    """Just now 1, one half-life ago a half, three ago an eighth; without ages there is no history."""
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
    names, cells = table(recipe.evidence, recipe.scorers, owners, wide_candidates(recipe, owners))
    assert cells.shape == (0, len(names))
