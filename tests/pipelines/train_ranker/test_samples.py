"""Sample for the learned ranker: cutoffs and labels by hand, same features as in serving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.errors import TrainingError
from models.recommender.candidates import learned_table, wide_candidates
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Surface
from pipelines.export.snapshot import Snapshot
from pipelines.train.holdout import Holdout
from pipelines.train.leakage import check_labels
from pipelines.train_ranker.samples import NEGATIVES, OWNERS, Opinions, RankerSamples, _samples_of, samples_until


def lesson(cut: int, owner: list[int], met: list[int]) -> RankerSamples:
    """Make samples whose features are their row numbers."""
    features = np.array([[cut, i] for i in range(len(owner))], np.float32)
    return RankerSamples(("cut", "row"), features, np.array(met, np.int64), np.array(owner, np.int32), cut)


HAND = [lesson(80, [1, 1, 2], [85, 0, 0]), lesson(60, [1, 1, 2, 2, 3], [0, 65, 75, 0, 85]), lesson(40, [1, 1], [45, 0])]


def test_only_earlier_events_are_training_data() -> None:
    """The cutoff of day 80 gives no samples. Owner 3 has no list, because their first event is on day 85."""
    rows = samples_until(HAND, 80)

    assert rows.features.tolist() == [[60, 0], [60, 1], [60, 2], [60, 3], [40, 0], [40, 1]]
    assert rows.label.tolist() == [0, 1, 1, 0, 1, 0]
    lists = rows.group.tolist()
    assert lists[0] == lists[1] != lists[2] == lists[3] and lists[4] == lists[5] not in lists[:4]
    assert rows.names == ("cut", "row") and rows.positives == 3 and rows.owners_taught == 3


def test_all_events_are_training_data_in_the_end() -> None:
    rows = samples_until(HAND, 100)
    assert rows.positives == 5 and [80, 1] in rows.features.tolist()
    assert [80, 2] not in rows.features.tolist() and [
        60,
        4,
    ] in rows.features.tolist()  # owner 2 has no events after day 80


def test_a_dislike_counts_from_its_time() -> None:
    """Rows 0 and 1 met on day 45. Row 0 is disliked on day 70. Row 1 was, until a like on day 60."""
    said = Opinions(np.array([0, 0, 1, 1]), np.array([46, 70, 50, 60]), np.array([False, True, True, False]))
    drawn = np.array([False, False, True])
    those = replace(lesson(40, [1, 1, 1], [45, 45, 0]), opinions=said, drawn=drawn)

    def labels(until: int) -> list[list[bool]]:
        return [those.until(until)[1].tolist(), those.until(until)[0].tolist()]

    assert labels(50) == [[True, True, False], [True, True, True]]
    assert labels(55) == [[True, False, False], [True, False, True]]  # disliked by then: no sample, unless it was drawn
    assert labels(65) == [[True, True, False], [True, True, True]]
    assert labels(71) == [[False, True, False], [False, True, True]]
    assert those.positive(71) == 1 and replace(those, opinions=Opinions()).positive(71) == 2


def test_a_label_at_the_very_cut_is_none() -> None:
    assert samples_until([lesson(40, [1, 1], [60, 59])], 60).label.tolist() == [0, 1]
    with pytest.raises(TrainingError, match="there are no training samples"):
        samples_until([lesson(40, [1, 1], [60, 0])], 60)
    with pytest.raises(TrainingError, match="there are no training samples"):
        samples_until([], 60)


@pytest.fixture(scope="module")
def taught(holdout: Holdout, planted: Snapshot) -> dict[Surface, RankerSamples]:
    found = {s: _samples_of(holdout, s, planted.as_of_us) for s in Surface}
    there = {s: lessons for s, lessons in found.items() if lessons is not None}
    assert set(there) == set(Surface)
    return there


def served(holdout: Holdout, surface: Surface) -> SurfaceRecommender:
    """Open the recommender as a reader would at the cutoff."""
    return open_recommender(surface, holdout.bundles, holdout.settings.layered({"ranker": "learned"}, "given"))


@pytest.mark.parametrize("surface", list(Surface))
def test_a_candidate_has_the_same_features_in_training_and_serving(
    surface: Surface, holdout: Holdout, taught: dict[Surface, RankerSamples]
) -> None:
    """Equal to the bit, for a single owner (R03, A31)."""
    recipe, lessons = served(holdout, surface), taught[surface]
    relevant = holdout.seen_from(surface).relevant
    for owner in np.unique(lessons.owner)[:6].tolist():
        mine = lessons.owner == owner
        batch = recipe.batch(np.array([owner]), holdout.before)
        candidates = wide_candidates(recipe, batch)
        names, cells = learned_table(recipe, batch, candidates)
        assert names == lessons.names
        hit = np.asarray(relevant[owner].toarray(), bool).ravel()[recipe.catalogue[candidates.item]]
        assert np.array_equal(cells[hit], lessons.features[mine & (lessons.met_us > 0)])
        known = {row.tobytes() for row in np.ascontiguousarray(cells[~hit])}
        others = lessons.features[mine & (lessons.met_us == 0)]
        assert lessons.drawn is not None
        assert int(lessons.drawn[mine].sum()) == min(NEGATIVES, len(hit))
        assert all(np.ascontiguousarray(row).tobytes() in known for row in others)


def test_a_pair_is_dated_by_its_first_meeting(
    holdout: Holdout, taught: dict[Surface, RankerSamples], planted: Snapshot
) -> None:
    events = planted.interactions()
    after = events.where(events.at >= holdout.cut_us)
    for surface, lessons in taught.items():
        met = lessons.met_us[lessons.met_us > 0]
        assert len(met) and met.min() >= holdout.cut_us and met.max() < planted.as_of_us
        assert np.isin(met, after.at).all(), surface
        assert lessons.positive(planted.as_of_us) == len(met) and lessons.positive(holdout.cut_us) == 0
        assert len(np.unique(lessons.owner)) <= OWNERS and lessons.cut_us == holdout.cut_us


def test_the_evaluated_ranker_is_not_trained_on_its_cutoff(
    holdout: Holdout, taught: dict[Surface, RankerSamples]
) -> None:
    """A ranker that is evaluated at a cutoff does not learn from later events."""
    for lessons in taught.values():
        with pytest.raises(TrainingError, match="there are no training samples"):
            samples_until([lessons], holdout.cut_us)
        middle = int(np.median(lessons.met_us[lessons.met_us > 0]))
        rows = samples_until([lessons], middle)
        newest = lessons.met_us[(lessons.met_us > 0) & (lessons.met_us < middle)]
        assert rows.positives == len(newest)
        check_labels("learned_ranker_v1", int(newest.max()), middle)


def test_a_model_too_sparse_at_a_historical_cutoff_is_left_out_there() -> None:
    newer = RankerSamples(
        ("a", "b"), np.array([[1, 2], [3, 4]], np.float32), np.array([0, 9]), np.zeros(2, np.int32), 5
    )
    older = RankerSamples(
        ("b", "c"), np.array([[5, 6], [7, 8]], np.float32), np.array([0, 4]), np.zeros(2, np.int32), 3
    )
    rows = samples_until([newer, older], 10)
    assert rows.names == ("a", "b")
    assert rows.features.tolist() == [[1, 2], [3, 4], [0, 5], [0, 7]]
    assert rows.label.tolist() == [0, 1, 0, 1]
    assert rows.newest_us == 9
