"""Each feature has the same bits in training and serving, for one owner and cutoff (A31, R03)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from models.data.profile_text import text_of
from models.features.table import FEATURES, NEUTRAL_DIVERSITY
from models.ranker import RankerConfig
from models.recommender.candidates import learned_table, wide_candidates
from models.recommender.recommend import rank
from models.schema import Entity, EventType, Surface
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run, parse_instant
from pipelines.train.holdout import Holdout, open_holdout, open_holdout_at
from pipelines.train_ranker.mlp_samples import _of_chunk, base_diversity
from pipelines.train_ranker.samples import _samples_of
from tests.marketplace.samples import MEETINGS
from tests.pipelines.train.market import AS_OF, rows, small

DIVERSITY = FEATURES.index("diversity")


@dataclass(frozen=True)
class Recorder:
    """Ranks by the model score alone and keeps its features."""

    inputs: list[np.ndarray] = field(default_factory=list)
    name: str = "mlp"

    def score(self, features: np.ndarray) -> np.ndarray:
        self.inputs.append(features.copy())
        return np.asarray(features[..., 0], np.float32)


@pytest.mark.parametrize("surface", list(Surface))
def test_the_network_gets_the_same_features_in_serving(holdout: Holdout, surface: Surface) -> None:
    """All four columns of every candidate are compared, in the greedy places and those after them."""
    settings = holdout.settings.layered({"diversity_places": 6}, "given")
    recipe = replace(holdout.recipe(surface), settings=settings)
    owners, outcome = holdout.owners(recipe, teaching=True)
    for i in range(0, len(owners), 4):
        recorder = Recorder()
        ranking = rank(replace(recipe, ranker=recorder), owners.part(i, i + 1), settings.lists.depth)
        found, score = ranking.candidates, ranking.score
        taught = _of_chunk(
            recipe, owners.part(i, i + 1), outcome.part(i, i + 1), 10_000, False, np.random.default_rng(0)
        ).features
        diversity = base_diversity(recipe, found.indptr, found.item, score)
        every = np.stack([score, recipe.item_recency[found.item], recipe.item_popularity[found.item], diversity], 1)
        assert {row.tobytes() for row in taught} <= {row.tobytes() for row in every.astype(np.float32)}
        order = np.lexsort((found.item, -score))
        first = np.sort(order[: 3 * settings.of(RankerConfig).diversity_places])  # the pool of the greedy places
        for place, candidate in enumerate(order.tolist()):
            greedy = 0 < place < settings.of(RankerConfig).diversity_places
            served = (
                recorder.inputs[place][0, np.searchsorted(first, candidate)]
                if greedy
                else recorder.inputs[0][0, candidate]
            )
            assert served.tobytes() == every[candidate].astype(np.float32).tobytes()


def test_where_nothing_is_placed_diversity_is_neutral(holdout: Holdout) -> None:
    recipe = holdout.recipe(Surface.STARTUPS_FOR_INVESTOR)
    owners, recorder = holdout.owners(recipe, teaching=True)[0].part(0, 1), Recorder()
    rank(replace(recipe, ranker=recorder), owners, recipe.settings.lists.depth)
    assert (recorder.inputs[0][..., DIVERSITY] == NEUTRAL_DIVERSITY).all()
    asked = min(recipe.settings.of(RankerConfig).diversity_places, recipe.settings.lists.depth)
    assert len(recorder.inputs) == asked  # once for all by the base score, then once per place from the second on


@pytest.mark.parametrize("surface", [s for s in Surface if s.owner is Entity.USER])
def test_a_newcomer_is_trained_as_an_unseen_owner_is_served(surface: Surface) -> None:
    """A user who is new after the cutoff has a row in training, and only text in serving."""
    users, startups, events = rows()
    users["location"], startups["location"] = "Basel, Switzerland", "Basel, Switzerland"
    users.loc[::5, "created_at"] = "2024-02-20"
    late = events.user_id.isin(users.user_id[::5]) & (events.occurred_at < "2024-02-20")
    market = Snapshot.from_frames(users, startups, events[~late], AS_OF, small().recorded(), name="newcomers")
    with tempfile.TemporaryDirectory() as home:
        run = Run.start(small(home=Path(home)), "newcomers", parse_instant(AS_OF), fresh=True)
        made = open_holdout(run, market)
    recipe, lessons = made.recipe(surface), _samples_of(made, surface, market.as_of_us)
    assert lessons is not None
    profiles, came = market.profiles(Entity.USER, made.cut_us), 0
    for row in np.unique(lessons.owner[recipe.owners.count[lessons.owner] == 0]).tolist():
        stranger = recipe.unseen_owners([text_of({c: words[row] for c, words in profiles.items()})])
        cells = learned_table(recipe, stranger, wide_candidates(recipe, stranger), lessons.names)[1]
        served = {line.tobytes() for line in np.ascontiguousarray(cells)}
        mine = lessons.features[lessons.owner == row]
        assert len(mine) and all(np.ascontiguousarray(line).tobytes() in served for line in mine)
        came += 1
    assert came > 3


def test_labels_know_only_their_window() -> None:
    """Later dislikes of earlier items change the served ranker, not the evaluated one."""
    users, startups, events = rows(kinds=("view", "like"))
    settings = small(ranker_cuts=3)
    plain = Snapshot.from_frames(users, startups, events, AS_OF, settings.recorded(), name="plain")
    cut_us = int(np.sort(plain.interactions().at)[int(len(plain.interactions()) * 0.8)])
    before_us = int(np.sort(plain.interactions().at)[int(len(plain.interactions()) * 0.7)])
    met, late = plain.interactions().before(cut_us), plain.interactions()
    known = set(zip(met.owner.tolist(), met.item.tolist(), strict=True))
    again = np.array(
        [
            a >= cut_us and (o, i) in known
            for o, i, a in zip(late.owner.tolist(), late.item.tolist(), late.at.tolist(), strict=True)
        ]
    )
    kinds = np.where(again, EventType.DISLIKE.code, late.kind).astype(plain.events["kind"].to_numpy().dtype)
    assert again.sum() > 20
    column = plain.events.schema.get_field_index("kind")
    soured = replace(
        plain, name="soured", events=plain.events.set_column(column, plain.events.schema.field(column), [kinds])
    )
    with tempfile.TemporaryDirectory() as home:
        run = Run.start(small(home=Path(home)), "windows", parse_instant(AS_OF), fresh=True)
        for surface in (Surface.STARTUPS_FOR_INVESTOR, Surface.DEVELOPERS_FOR_STARTUP):
            mine, other = (
                _samples_of(open_holdout_at(run, s, before_us), surface, s.as_of_us) for s in (plain, soured)
            )
            assert mine is not None and other is not None
            for told in zip(mine.until(cut_us, MEETINGS), other.until(cut_us, MEETINGS), strict=True):
                np.testing.assert_array_equal(*told)
            np.testing.assert_array_equal(mine.features, other.features)
            assert other.positive(soured.as_of_us, MEETINGS) < mine.positive(plain.as_of_us, MEETINGS)
