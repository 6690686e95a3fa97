"""Fit ALS in both directions: right answers, cells, errors (A02, A04, C21-C24, C31, C59, P01, P02, R07)."""

from __future__ import annotations

import numpy as np
import pytest

from models import als
from models.als import AlsConfig
from models.als.fit import _confidences
from models.data.entities import IdMap
from models.data.interactions import DAY_US, Interactions
from models.errors import TooSparse, TrainingError
from models.schema import Entity, EventType
from models.settings.settings import Settings
from tests.marketplace.data import fitted
from tests.marketplace.world import world
from tests.models.model_contract import SMALL, Fit, ModelContract, first_choices, vectors

LIKE, VIEW, DISLIKE = (k.code for k in (EventType.LIKE, EventType.VIEW, EventType.DISLIKE))


def events(cells: list[tuple[int, int, int]], owners: int = 6, items: int = 6) -> Interactions:
    """Make events of (owner, item, kind), one per day."""
    mine, theirs = (
        IdMap.from_ids(f"{i:08d}-0000-4000-8000-00000000000{side}" for i in range(n))
        for side, n in ((1, owners), (2, items))
    )
    owner, item, kind = np.array(cells, np.int64).reshape(-1, 3).T
    at = np.arange(len(owner), dtype=np.int64) * DAY_US
    return Interactions(mine, theirs, owner.astype(np.int32), item.astype(np.int32), kind.astype(np.int8), at)


class TestForward(ModelContract):
    spec = als.SPEC

    def test_first_choices_lie_in_the_planted_group(self, fit: Fit) -> None:
        w, bundle = world(), fit(world().interactions, SMALL)
        users, startups = vectors(bundle, "user", Entity.USER), vectors(bundle, "item", Entity.STARTUP)
        known = np.flatnonzero(users.any(1))
        met = (w.interactions.pairs()[known].toarray() > 0) | ~startups.any(1)
        best = first_choices(users[known], startups, met)
        assert (w.startup_group[best] == w.user_group[known]).mean() > 0.95

    def test_owners_and_items_without_events_are_unknown(self, fit: Fit) -> None:
        w, bundle = world(), fit(world().interactions, SMALL)
        positive = (w.interactions.csr() > 0).toarray()
        assert bundle.maps["user"].ids.tolist() == w.users.ids.ids[positive.any(1)].tolist()
        assert bundle.maps["item"].ids.tolist() == w.startups.ids.ids[positive.any(0)].tolist()


class TestReverse(ModelContract):
    spec = als.REVERSE

    def test_owners_are_startups(self, fit: Fit) -> None:
        """R20: in this bundle the solver's `user` is a startup."""
        w, bundle = world(), fit(world().interactions, SMALL)
        assert set(bundle.maps["user"].ids) <= set(w.startups.ids.ids)
        assert set(bundle.maps["item"].ids) <= set(w.users.ids.ids)
        startups, users = vectors(bundle, "user", Entity.STARTUP), vectors(bundle, "item", Entity.USER)
        known = np.flatnonzero(startups.any(1))
        met = (w.interactions.transposed().pairs()[known].toarray() > 0) | ~users.any(1)
        best = first_choices(startups[known], users, met)
        assert (w.user_group[best] == w.startup_group[known]).mean() > 0.95


def test_factors_solve_the_normal_equations() -> None:
    """After convergence x = (Y'Y + Y'(|C|-I)Y + regularization I)^-1 Y'c, c the positive confidences of the row."""
    settings = SMALL.layered(
        {"als_factors": 3, "als_iterations": 300, "als_alpha": 4.0, "als_regularization": 0.5}, "given"
    )
    liked = [(u, i, LIKE) for u in range(6) for i in range(6) if (u + i) % 2 == 0]
    many = events([*liked, (0, 1, DISLIKE), (1, 3, VIEW)])
    bundle = fitted("als", many, settings)
    x, y = (bundle.arrays[k].astype(np.float64) for k in ("user_factors", "item_factors"))
    confidence = 4.0 * many.csr().toarray()
    for u in range(6):
        c = confidence[u]
        left = y.T @ y + y.T @ (np.where(c != 0, np.abs(c) - 1, 0)[:, None] * y) + 0.5 * np.eye(3)
        assert x[u] == pytest.approx(np.linalg.solve(left, y.T @ np.maximum(c, 0)), abs=2e-3)


def test_a_dislike_pushes_below_what_was_never_met() -> None:
    """With one dimension, owner 0's like of item 0 also raises its twin, item 1, until a dislike of that item."""
    liked = [(u, i, LIKE) for u in range(1, 6) for i in (0, 1, 2)] + [(0, 0, LIKE)]
    settings = SMALL.layered({"als_factors": 1, "als_alpha": 40.0}, "given")
    score = {}
    for name, extra in (("absent", []), ("disliked", [(0, 1, DISLIKE)])):
        bundle = fitted("als", events(liked + extra), settings)
        score[name] = bundle.arrays["user_factors"][0] @ bundle.arrays["item_factors"].T
    assert score["absent"][1] > 0.9 and score["disliked"][1] < score["absent"][1] - 0.2


def test_no_cell_counts_less_than_never_having_met() -> None:
    faint = SMALL.layered({"als_alpha": 1.0, "als_half_life_share": 0.05, "als_damping": "log"}, "given")
    cells = [(u, i, VIEW) for u in range(6) for i in range(4)] + [(0, 5, DISLIKE)]
    matrix = _confidences(events(cells), faint.of(AlsConfig))
    assert np.abs(matrix.data).min() >= 1.0 and matrix[0, 5] == -1.0 and (matrix.data != 0).all()
    assert _confidences(events(cells), faint.layered({"als_alpha": 40.0}, "given").of(AlsConfig)).data.min() == -1.0


def test_damping_and_half_life_shape_the_weights() -> None:
    twice = events([(0, 0, LIKE), (0, 0, LIKE), (1, 0, LIKE), (1, 1, LIKE)])
    assert _confidences(twice, SMALL.of(AlsConfig)).toarray()[:2, 0].tolist() == [4.0, 2.0]
    assert _confidences(twice, SMALL.layered({"als_damping": "binary"}, "given").of(AlsConfig)).toarray()[
        :2, 0
    ].tolist() == [1.0, 1.0]
    faded = _confidences(twice, SMALL.layered({"als_half_life_share": 0.5}, "given").of(AlsConfig)).toarray()[:2, 0]
    halves = np.exp2(-np.array([3.0, 2.0, 1.0]) / 1.5)  # three days of data give a half-life of a day and a half
    assert faded.tolist() == pytest.approx([2 * halves[0] + 2 * halves[1], 2 * halves[2]])


def test_owners_with_few_interactions_can_be_left_out() -> None:
    cells = events([(u, i, LIKE) for u in range(3) for i in range(3)] + [(3, 0, LIKE)])
    assert len(fitted("als", cells, SMALL).maps["user"]) == 4
    assert len(fitted("als", cells, SMALL.layered({"als_min_interactions": 2}, "given")).maps["user"]) == 3


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([], "none before the cutoff.*import"),
        ([(0, 0, LIKE), (1, 1, LIKE)], "too sparse.*2 owners and 2 items.*min_interactions"),
        ([(0, 0, DISLIKE), (1, 0, DISLIKE)], "too sparse"),
    ],
)
def test_too_little_is_refused_with_the_cure(cells: list[tuple[int, int, int]], words: str) -> None:
    with pytest.raises(TooSparse, match=words):
        fitted("als", events(cells), SMALL)


def test_what_cannot_be_solved_is_refused() -> None:
    cells = events([(u, i, LIKE) for u in range(3) for i in range(3)])
    with pytest.raises(TrainingError, match=r"finite factors.*regularization"):
        fitted("als", cells, SMALL.layered({"als_alpha": 1e38}, "given"))
    with pytest.raises(TrainingError, match="alpha must be above 0"):
        fitted("als", cells, SMALL.layered({"als_alpha": 0.0}, "given"))


def test_little_data_leaves_a_note() -> None:
    assert "C59" in fitted("als", events([(u, i, LIKE) for u in range(3) for i in range(3)]), SMALL).config["note"]
    assert "note" not in fitted("als", world().interactions, SMALL).config


def test_the_required_defaults() -> None:
    s = Settings()
    assert (
        s.of(AlsConfig).factors,
        s.of(AlsConfig).regularization,
        s.of(AlsConfig).iterations,
        s.of(AlsConfig).alpha,
    ) == (
        128,
        0.01,
        20,
        40.0,
    )
