"""Split by time: relevant items, validation owners, no data after the cutoff."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from models import registry
from models.data.entities import IdMap
from models.data.interactions import Interactions
from models.errors import TooSparse
from models.schema import Entity, EventType, Surface
from models.setting import Phase
from models.settings.declared import DECLARED, Declared
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run, parse_instant
from pipelines.train.calendar import split_time
from pipelines.train.holdout import Holdout, hashed, holdout_place, open_holdout, outcome_of
from pipelines.train.objective import APPLY as APPLY_GOAL
from pipelines.train.objective import CLICK, ENGAGE, MEET, Objective, gains_of
from pipelines.train.objective import graded as grades_of
from tests.models.settings.values import another
from tests.pipelines.train.market import AS_OF, ids, rows, small

VIEW, LIKE, DISLIKE, APPLY = (EventType(k).code for k in ("view", "like", "dislike", "apply"))


def events(*told: tuple[int, int, int, int]) -> Interactions:
    """Make events of (user, startup, kind, time)."""
    user, startup, kind, at = np.array(told).T
    people, companies = IdMap.from_ids(ids("user", 3)), IdMap.from_ids(ids("startup", 4))
    return Interactions(people, companies, user.astype(np.int32), startup.astype(np.int32), kind.astype(np.int8), at)


def cells(matrix: sparse.csr_matrix) -> dict[tuple[int, int], float]:
    coo = matrix.tocoo()
    return {(int(r), int(c)): float(v) for r, c, v in zip(coo.row, coo.col, coo.data, strict=True)}


def test_the_cut_leaves_the_last_share_at_or_after_it() -> None:
    made = events(*((0, 0, VIEW, t) for t in range(10)))
    assert split_time(made, 0.2) == 8
    assert split_time(made, 0.5) == 5


@pytest.mark.parametrize("told", [[(0, 0, VIEW, 5)], [(0, 0, VIEW, 5), (1, 1, VIEW, 5)]])
def test_no_cut_without_two_instants(told: list[tuple[int, int, int, int]]) -> None:
    with pytest.raises(TooSparse, match="both sides of a validation split"):
        split_time(events(*told), 0.2)
    with pytest.raises(TooSparse, match="got 0 events at all"):
        split_time(events(*told).where(np.zeros(len(told), bool)), 0.2)


def test_only_new_pairs_count_and_dislikes_never() -> None:
    found = outcome_of(
        events(
            (0, 0, VIEW, 1),
            (0, 0, APPLY, 20),  # met before, so not new
            (0, 1, VIEW, 20),  # viewed, not engaged
            (0, 2, LIKE, 20),
            (0, 2, APPLY, 21),  # engaged: the strongest event counts
            (1, 0, LIKE, 20),
            (1, 0, DISLIKE, 22),  # the last opinion is a dislike
            (1, 1, DISLIKE, 20),
            (1, 1, LIKE, 22),  # here it is a like
            (2, 3, DISLIKE, 25),
        ),
        10,
    )
    assert set(cells(found.relevant)) == {(0, 1), (0, 2), (1, 1)}
    assert cells(found.engaged) == {(0, 2): 3.0, (1, 1): 2.0}
    assert set(cells(found.declined)) == {(0, 1), (1, 0), (2, 3)}
    assert set(cells(found.transposed().engaged)) == {(2, 0), (1, 1)}
    assert set(cells(found.met)) == {(0, 1), (0, 2), (1, 0), (1, 1), (2, 3)}
    graded = {name: cells(found.graded(gains_of(name, Settings())).relevant) for name in (ENGAGE, APPLY_GOAL, MEET)}
    assert graded[ENGAGE] == {(0, 2): 3.0, (1, 1): 2.0} and graded[APPLY_GOAL] == {(0, 2): 3.0}
    assert graded[MEET] == {(0, 1): 0.5, (0, 2): 3.0, (1, 1): 2.0}


@pytest.mark.parametrize(
    ("engage", "click", "decides"), [(100, 200, ENGAGE), (99, 100, CLICK), (99, 99, MEET), (0, 0, MEET)]
)
def test_the_strongest_objective_with_enough_pairs_decides(engage: int, click: int, decides: str) -> None:
    found = Objective.of_pairs({ENGAGE: engage, CLICK: click, MEET: 300}, Settings())
    assert found.name == decides and found.as_json()["decides"] == decides
    np.testing.assert_array_equal(found.gains, gains_of(decides, Settings()))


def test_a_gain_of_the_settings_counts() -> None:
    settings = Settings().layered({"objective_click": 0.7, "objective_like": 0.0}, "given")
    gains = gains_of(ENGAGE, settings)
    assert gains[EventType.CLICK.code] == np.float32(0.7) and gains[EventType.LIKE.code] == 0
    bits = np.array([1 << EventType.VIEW.code, 1 << EventType.VIEW.code | 1 << EventType.APPLY.code])
    assert grades_of(bits, gains).tolist() == [0, 3]


def test_halves_never_share_an_owner(holdout: Holdout) -> None:
    for surface in Surface:
        recipe = holdout.recipe(surface)
        teaching, judging = (holdout.owners(recipe, half)[0].row for half in (True, False))
        assert len(teaching) > 5 and len(judging) > 5
        assert not set(teaching.tolist()) & set(judging.tolist())


def test_an_owner_stays_in_their_half_with_any_other_owners() -> None:
    many, few = IdMap.from_ids(ids("user", 500)), IdMap.from_ids(ids("user", 20))
    place = many.rows_of(few.ids)
    np.testing.assert_array_equal(hashed(many, place), hashed(few, np.arange(20)))
    assert 200 < (hashed(many, np.arange(500)) & np.uint64(1)).sum() < 300


def test_opted_out_users_are_in_no_training_and_no_evaluation(holdout: Holdout, planted: Snapshot) -> None:
    out = int(planted.user_ids.rows_of(ids("user", 6))[5])
    assert planted.entities(Entity.USER).opted_out[out]
    for surface in (Surface.STARTUPS_FOR_DEVELOPER, Surface.STARTUPS_FOR_INVESTOR):
        recipe = holdout.recipe(surface)
        assert all(out not in holdout.owners(recipe, half)[0].row for half in (True, False))


def test_moving_what_comes_later_changes_nothing_before(
    tmp_path_factory: pytest.TempPathFactory, holdout: Holdout, planted: Snapshot, planted_run: Run
) -> None:
    """Shuffled pairs after the cutoff change no bit of models, features and catalogue."""
    users, startups, interactions = rows()
    later = interactions["occurred_at"] >= holdout.cut.replace("+00:00", "Z")
    assert 0.15 < later.mean() < 0.25
    moved = interactions.copy()
    rng = np.random.default_rng(8)
    for column in ("startup_id", "interaction_type"):
        moved.loc[later, column] = rng.permutation(moved.loc[later, column].to_numpy())
    other = Snapshot.from_frames(users, startups, moved.drop_duplicates(), AS_OF, small().recorded(), name="moved")
    again = open_holdout(planted_run, other)
    assert again.cut_us == holdout.cut_us
    assert {n: b.digest() for n, b in again.bundles.items()} == {n: b.digest() for n, b in holdout.bundles.items()}
    assert cells(again.outcome.engaged) != cells(holdout.outcome.engaged)
    for surface in Surface:
        mine, theirs = holdout.recipe(surface), again.recipe(surface)
        np.testing.assert_array_equal(mine.item_popularity, theirs.item_popularity)
        np.testing.assert_array_equal(mine.catalogue, theirs.catalogue)


def test_base_models_are_fitted_once(
    planted_run: Run, planted: Snapshot, holdout: Holdout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(name: str, *_: object) -> None:
        if registry.named(name).optional:
            raise TooSparse("as the first time")
        raise AssertionError("fitted again")

    monkeypatch.setattr("pipelines.train.holdout.fit", never)
    again = open_holdout(planted_run, planted)
    assert set(again.bundles) == set(holdout.bundles)


@pytest.mark.parametrize("d", [d for d in DECLARED.values() if d.flat != "home"], ids=lambda d: d.flat)
def test_the_key_of_its_models_holds_exactly_what_base_models_read(d: Declared, planted: Snapshot) -> None:
    """A setting of another phase keeps the models, a setting of this phase fits them again."""
    settings = Settings()
    changed = settings.layered({d.flat: another(d)}, "here")
    places = {holdout_place(Run("r", parse_instant(AS_OF), s), planted, 7) for s in (settings, changed)}
    assert len(places) == (2 if d.rule.phase is Phase.TRAIN else 1)
