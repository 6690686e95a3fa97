"""Make the ranking set: required columns, sampling, both recipes (D11, C41-C51, R03, R04)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.errors import DataError
from models.features.table import FEATURES
from models.recommender.recommend import rank
from models.schema import Surface
from pipelines.train.holdout import Holdout
from pipelines.train_ranker.mlp_samples import COLUMNS, RankingSet, base_diversity, ranking_set, read_rows, sampled


@pytest.fixture(scope="module")
def made(holdout: Holdout) -> RankingSet:
    return ranking_set(holdout)


def test_the_columns_are_the_seeds() -> None:
    assert ",".join(COLUMNS) == "user_id,startup_id,model_score,recency_score,popularity_score,diversity_score,label"


def test_every_surface_gives_samples(made: RankingSet) -> None:
    assert set(made.surface.tolist()) == {0, 1, 2, 3}
    assert 0 < made.label.mean() <= 0.5


def test_positives_are_engaged_items_and_only_training_owners_give_samples(made: RankingSet, holdout: Holdout) -> None:
    for surface in Surface:
        part, outcome = made.of(made.surface == surface.code), holdout.seen_from(surface)
        weight = np.asarray(outcome.engaged[part.owner, part.item]).ravel()
        np.testing.assert_array_equal(weight, part.weight)
        np.testing.assert_array_equal(weight > 0, part.label == 1)
        judges = holdout.owners(holdout.recipe(surface), teaching=False)[0].row
        assert not np.isin(part.owner, judges).any()


def test_features_are_what_serving_would_compute(made: RankingSet, holdout: Holdout) -> None:
    """R03: the model score comes from serving code, over the whole union, for positives and negatives."""
    surface = Surface.STARTUPS_FOR_INVESTOR
    recipe = holdout.recipe(surface)
    part = made.of(made.surface == surface.code)
    for owner in np.unique(part.owner)[:5]:
        mine = part.of(part.owner == owner)
        ranking = rank(recipe, recipe.batch(np.array([owner]), holdout.before), recipe.settings.lists.depth)
        at = np.searchsorted(recipe.catalogue[ranking.candidates.item], mine.item)
        np.testing.assert_array_equal(recipe.catalogue[ranking.candidates.item][at], mine.item)
        np.testing.assert_allclose(mine.features[:, 0], ranking.score[at], atol=1e-6)
        np.testing.assert_allclose(mine.features[:, 1], recipe.item_recency[ranking.candidates.item][at])
        np.testing.assert_allclose(mine.features[:, 2], recipe.item_popularity[ranking.candidates.item][at])
    assert part.features[part.label == 0, 0].max() > 0.3  # the required recipe would give 0.0 here
    assert len(np.unique(part.features[:, 3].round(3))) > 5  # and 0.5 everywhere here


def test_diversity_by_hand(holdout: Holdout) -> None:
    """Each item is compared with those above it by score: a third of similarity per shared facet."""
    recipe = holdout.recipe(Surface.STARTUPS_FOR_INVESTOR)
    items = np.array([3, 7, 11])
    facets = {f: recipe.facets[f][items] for f in ("category", "field", "type")}
    shared = np.array([[sum(int(facets[f][a] == facets[f][b]) for f in facets) for b in range(3)] for a in range(3)])
    got = base_diversity(recipe, np.array([0, 3]), items.astype(np.int32), np.array([0.2, 0.9, 0.5], np.float32))
    expected = [1 - (shared[0, 1] + shared[0, 2]) / 6, 0.5, 1 - shared[2, 1] / 3]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_declined_first_then_others_and_no_more_than_asked() -> None:
    owner = np.array([0] * 6 + [1] * 4 + [2] * 3)
    positive = np.array([1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], bool)
    declined = np.array([0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0], bool)
    for seed in range(5):
        kept = sampled(owner, positive, declined, 2, np.random.default_rng(seed))
        assert kept[positive].all()
        assert kept[:6].sum() == 3 and kept[[2, 4, 5]].sum() == 2  # one positive: two negatives, both of declined items
        assert kept[8:10].all()  # two positives need four negatives, but there are two
        assert not kept[10:].any()  # an owner without a positive has no samples


def test_viewed_items_without_engagement_can_be_the_first_negatives(holdout: Holdout, made: RankingSet) -> None:
    """This is optional (C42). By default every candidate without engagement is a negative."""
    declined = [holdout.seen_from(s).declined for s in Surface]

    def share(rows: RankingSet) -> float:
        met = [bool(declined[s][o, i]) for s, o, i in zip(rows.surface, rows.owner, rows.item, strict=True)]
        return float(np.mean(np.array(met)[rows.label == 0]))

    assert share(ranking_set(holdout, declined_first=True)) > 2 * share(made) > 0


def test_other_ratio(holdout: Holdout, made: RankingSet) -> None:
    more = ranking_set(holdout, negatives=5)
    assert more.label.sum() == made.label.sum()
    assert (more.label == 0).sum() > (made.label == 0).sum()


def test_the_same_rows_every_time(made: RankingSet, holdout: Holdout) -> None:
    again = ranking_set(holdout)
    np.testing.assert_array_equal(again.features, made.features)
    np.testing.assert_array_equal(again.item, made.item)


def test_the_literal_recipe_leaks_the_label(made: RankingSet) -> None:
    literal = made.with_seed_features()
    assert (literal.features[:, 3] == 0.5).all()
    np.testing.assert_array_equal(literal.features[:, 0] > 0, literal.label == 1)
    np.testing.assert_array_equal(literal.features[:, 1:3], made.features[:, 1:3])


def test_csv_round_trip(made: RankingSet, holdout: Holdout, tmp_path: Path) -> None:
    forward, reverse = made.write(tmp_path, holdout)
    assert (forward.name, reverse.name) == ("ranker_train.csv", "ranker_train_reverse.csv")
    table = pd.read_csv(forward)
    assert tuple(table.columns) == COLUMNS
    assert set(table["user_id"]) <= set(holdout.before.owners.ids.tolist())
    assert set(table["startup_id"]) <= set(holdout.before.items.ids.tolist())
    read, rows = read_rows([forward, reverse]), made.rows()
    assert read.positives == rows.positives and len(read.label) == len(rows.label)
    is_reverse = made.surface >= 2
    expected = np.concatenate([rows.features[~is_reverse], rows.features[is_reverse]])
    np.testing.assert_allclose(read.features, expected, atol=1e-6)
    assert len(np.unique(read.group[: len(table)])) == table["user_id"].nunique()


def test_a_poor_csv_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ranker_train.csv"
    with pytest.raises(DataError, match="make one with"):
        read_rows([path])
    path.write_text("user_id,startup_id,label\na,b,1\n")
    with pytest.raises(DataError, match="lacks the columns model_score, recency_score"):
        read_rows([path])
    path.write_text(",".join(COLUMNS) + "\na,b,high,0,0,0,1\n")
    with pytest.raises(DataError, match="numbers"):
        read_rows([path])


def test_features_are_scaled(made: RankingSet) -> None:
    assert made.features.min() >= 0 and made.features.max() <= 1 and made.features.shape[1] == len(FEATURES)
