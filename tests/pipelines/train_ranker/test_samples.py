"""Sample for the learned ranker: cutoffs and labels by hand, same features as in serving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.errors import TrainingError
from models.recommender.candidates import learned_table, wide_candidates
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import EventType, Surface
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.train.holdout import Holdout
from pipelines.train.leakage import check_labels
from pipelines.train.objective import ENGAGE, gains_of
from pipelines.train_ranker.samples import NEGATIVES, OWNERS, PairEvents, RankerSamples, _samples_of, samples_until
from tests.marketplace.samples import MEETINGS, events_at

ENGAGED = gains_of(ENGAGE, Settings())


def lesson(cut: int, owner: list[int], met: list[int]) -> RankerSamples:
    """Make samples whose features are their row numbers."""
    features = np.array([[cut, i] for i in range(len(owner))], np.float32)
    at = np.array(met, np.int64)
    return RankerSamples(("cut", "row"), features, at, np.array(owner, np.int32), cut, events=events_at(at))


HAND = [lesson(80, [1, 1, 2], [85, 0, 0]), lesson(60, [1, 1, 2, 2, 3], [0, 65, 75, 0, 85]), lesson(40, [1, 1], [45, 0])]


def test_only_earlier_events_are_training_data() -> None:
    """The cutoff of day 80 gives no samples. Owner 3 has no list, because their first event is on day 85."""
    rows = samples_until(HAND, 80, ENGAGED)

    assert rows.features.tolist() == [[60, 0], [60, 1], [60, 2], [60, 3], [40, 0], [40, 1]]
    assert rows.label.tolist() == [0, 1, 1, 0, 1, 0]
    lists = rows.group.tolist()
    assert lists[0] == lists[1] != lists[2] == lists[3] and lists[4] == lists[5] not in lists[:4]
    assert rows.names == ("cut", "row") and rows.positives == 3 and rows.owners_taught == 3


def test_all_events_are_training_data_in_the_end() -> None:
    rows = samples_until(HAND, 100, ENGAGED)
    assert rows.positives == 5 and [80, 1] in rows.features.tolist()
    assert [80, 2] not in rows.features.tolist() and [
        60,
        4,
    ] in rows.features.tolist()  # owner 2 has no events after day 80


def test_a_dislike_counts_from_its_time() -> None:
    """Rows 0 and 1 met on day 45. Row 0 is disliked on day 70. Row 1 was, until a like on day 60."""
    kinds = [EventType.VIEW, EventType.LIKE, EventType.DISLIKE, EventType.VIEW, EventType.DISLIKE, EventType.LIKE]
    codes = np.array([kind.code for kind in kinds], np.int8)
    said = PairEvents(np.array([0, 0, 0, 1, 1, 1]), np.array([45, 46, 70, 45, 50, 60]), codes)
    drawn = np.array([False, False, True])
    those = replace(lesson(40, [1, 1, 1], [45, 45, 0]), events=said, drawn=drawn)

    def labels(until: int) -> list[list[bool]]:
        known, gain = those.until(until, MEETINGS)
        return [(gain > 0).tolist(), known.tolist()]

    assert labels(50) == [[True, True, False], [True, True, True]]
    assert labels(55) == [[True, False, False], [True, False, True]]  # disliked by then: no sample, unless it was drawn
    assert labels(65) == [[True, True, False], [True, True, True]]
    assert labels(71) == [[False, True, False], [False, True, True]]
    assert those.positive(71, MEETINGS) == 1


def test_grades_are_those_of_the_strongest_event_by_then() -> None:
    """Owner 1: a view, then an application on day 70; a like; a view alone, which was added for its event."""
    codes = np.array([EventType.VIEW.code, EventType.APPLY.code, EventType.LIKE.code, EventType.VIEW.code], np.int8)
    said = PairEvents(np.array([0, 0, 1, 2]), np.array([45, 70, 46, 47]), codes)
    drawn = np.array([False, False, False, True, True])
    those = replace(lesson(40, [1, 1, 1, 1, 1], [45, 46, 47, 0, 0]), events=said, drawn=drawn)

    early, late = samples_until([those], 60, ENGAGED), samples_until([those], 80, ENGAGED)
    assert early.features[:, 1].tolist() == [1, 3, 4] and early.label.tolist() == [1, 0, 0]
    assert early.gains == (0.0, 1.0) and early.newest_us == 46
    assert late.features[:, 1].tolist() == [0, 1, 3, 4] and late.label.tolist() == [2, 1, 0, 0]
    assert late.gains == pytest.approx((0, 2 / 3, 1)) and late.newest_us == 70
    assert samples_until([those], 60, MEETINGS).label.tolist() == [1, 2, 1, 0, 0]


def test_a_label_at_the_very_cut_is_none() -> None:
    assert samples_until([lesson(40, [1, 1], [60, 59])], 60, ENGAGED).label.tolist() == [0, 1]
    with pytest.raises(TrainingError, match="there are no training samples"):
        samples_until([lesson(40, [1, 1], [60, 0])], 60, ENGAGED)
    with pytest.raises(TrainingError, match="there are no training samples"):
        samples_until([], 60, ENGAGED)


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
    relevant = holdout.seen_from(surface).met
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
        assert lessons.positive(planted.as_of_us, MEETINGS) <= len(met)
        assert lessons.positive(holdout.cut_us, MEETINGS) == 0 < lessons.positive(planted.as_of_us, ENGAGED)
        assert len(np.unique(lessons.owner)) <= OWNERS and lessons.cut_us == holdout.cut_us


def test_the_evaluated_ranker_is_not_trained_on_its_cutoff(
    holdout: Holdout, taught: dict[Surface, RankerSamples]
) -> None:
    """A ranker that is evaluated at a cutoff does not learn from later events."""
    for lessons in taught.values():
        with pytest.raises(TrainingError, match="there are no training samples"):
            samples_until([lessons], holdout.cut_us, MEETINGS)
        middle = int(np.median(lessons.met_us[lessons.met_us > 0]))
        rows = samples_until([lessons], middle, MEETINGS)
        assert rows.positives == lessons.positive(middle, MEETINGS) > 0
        check_labels("learned_ranker_v1", rows.newest_us, middle)


def test_a_model_too_sparse_at_a_historical_cutoff_is_left_out_there() -> None:
    nobody, late, early = np.zeros(2, np.int32), np.array([0, 9]), np.array([0, 4])
    x = np.array([[1, 2], [3, 4]], np.float32)
    newer = RankerSamples(("a", "b"), x, late, nobody, 5, events=events_at(late))
    older = RankerSamples(("b", "c"), x + 4, early, nobody, 3, events=events_at(early))
    rows = samples_until([newer, older], 10, ENGAGED)
    assert rows.names == ("a", "b")
    assert rows.features.tolist() == [[1, 2], [3, 4], [0, 5], [0, 7]]
    assert rows.label.tolist() == [0, 1, 0, 1]
    assert rows.newest_us == 9
