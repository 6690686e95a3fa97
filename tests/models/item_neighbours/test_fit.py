"""Compute item-item cosines: by hand, against dense algebra, bounds, ties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import models.item_neighbours.fit as neighbours
from models import item_neighbours
from models.data.bundle import Bundle
from models.data.entities import IdMap
from models.data.interactions import Interactions
from models.errors import TooSparse
from models.item_neighbours import NeighboursConfig
from models.schema import COUNTED_TYPES, PEOPLE_LEAST, EventType
from tests.marketplace.data import fitted
from tests.marketplace.world import world
from tests.models.model_contract import SMALL, Fit, ModelContract

#: No decay: textbook cosines.
PLAIN = SMALL.layered({"neighbours_half_life_share": 0.0}, "given")
LIKE, VIEW, DISLIKE = (k.code for k in (EventType.LIKE, EventType.VIEW, EventType.DISLIKE))


def matrix_of(bundle: Bundle) -> np.ndarray:
    n = len(bundle.maps["item"])
    parts = (bundle.arrays["data"], bundle.arrays["indices"], bundle.arrays["indptr"])
    return np.asarray(sparse.csr_matrix(parts, shape=(n, n)).toarray())


def events(cells: list[tuple[int, int, int]], owners: int, items: int, at: np.ndarray | None = None) -> Interactions:
    mine, theirs = (
        IdMap.from_ids(f"{i:08d}-0000-4000-8000-00000000000{side}" for i in range(n))
        for side, n in ((1, owners), (2, items))
    )
    owner, item, kind = np.array(cells, np.int64).reshape(-1, 3).T
    when = np.arange(len(owner), dtype=np.int64) if at is None else at
    return Interactions(mine, theirs, owner.astype(np.int32), item.astype(np.int32), kind.astype(np.int8), when)


def by_definition(liked: np.ndarray) -> np.ndarray:
    """Compute cosines of columns, after dividing each row by the fourth root of its length."""
    weight = liked / np.maximum(liked.sum(1, keepdims=True), 1) ** 0.25
    length = np.linalg.norm(weight, axis=0)
    cosine = weight.T @ weight / np.maximum(length[:, None] * length[None, :], 1e-30)
    np.fill_diagonal(cosine, 0)
    return np.asarray(cosine)


class TestForward(ModelContract):
    spec = item_neighbours.SPEC

    def test_neighbours_lie_in_the_planted_group(self, fit: Fit) -> None:
        w = world()
        similar = matrix_of(fit(w.interactions, SMALL))
        known = np.flatnonzero(similar.any(1))
        assert (w.startup_group[similar[known].argmax(1)] == w.startup_group[known]).all()
        assert not similar[w.startup_part == 2].any(), "what nobody met has no neighbour"


class TestReverse(ModelContract):
    spec = item_neighbours.REVERSE

    def test_neighbours_are_users(self, fit: Fit) -> None:
        w = world()
        bundle = fit(w.interactions, SMALL)
        assert bundle.maps["item"] is w.users.ids
        similar = matrix_of(bundle)
        known = np.flatnonzero(similar.any(1))
        assert (w.user_group[similar[known].argmax(1)] == w.user_group[known]).all()


def test_cosines_by_hand() -> None:
    """Owner 0 met items 0, 1. Owner 1 met 0, 1, 2, 3, one of them twice. The dislike does not count."""
    cells = [(0, 0, LIKE), (0, 1, VIEW), *[(1, i, LIKE) for i in range(4)], (1, 3, LIKE), (2, 3, DISLIKE), (2, 2, LIKE)]
    similar = matrix_of(fitted("item_neighbours", events(cells, 3, 5), PLAIN))
    two, four = 2**-0.5, 4**-0.5  # weight of a common owner of two and of four items
    assert similar[0, 1] == pytest.approx(1.0)
    assert similar[0, 3] == pytest.approx(four / np.sqrt((two + four) * four))
    assert similar[2, 3] == pytest.approx(four / np.sqrt((four + 1) * four))
    assert not similar[4].any() and not similar.diagonal().any()


@pytest.mark.parametrize("block", [1, 50, 10**9])
def test_equals_the_definition_however_it_is_cut_up(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    rng = np.random.default_rng(0)
    liked = rng.random((60, 37)) < rng.random(37) * 0.4
    liked[:, 5] = False
    cells = [(int(o), int(i), LIKE) for o, i in zip(*np.nonzero(liked), strict=True)]
    similar = matrix_of(fitted("item_neighbours", events(cells, 60, 37), PLAIN.layered({"neighbours": 100}, "given")))
    assert similar == pytest.approx(by_definition(liked.astype(float)), abs=1e-6)


def test_the_best_are_kept_and_lower_rows_win_ties() -> None:
    everybody = [(o, i, LIKE) for o in range(3) for i in range(6)]
    similar = matrix_of(fitted("item_neighbours", events(everybody, 3, 6), PLAIN.layered({"neighbours": 2}, "given")))
    assert [np.flatnonzero(row).tolist() for row in similar] == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]]
    rng = np.random.default_rng(1)
    cells = [(int(o), int(i), LIKE) for o, i in zip(*np.nonzero(rng.random((50, 20)) < 0.3), strict=True)]
    whole, few = (
        matrix_of(fitted("item_neighbours", events(cells, 50, 20), PLAIN.layered({"neighbours": n}, "given")))
        for n in (100, 5)
    )
    for full, kept in zip(whole, few, strict=True):
        best = np.lexsort((np.arange(20), -full))[:5]
        assert sorted(np.flatnonzero(kept)) == sorted(best[full[best] > 0]) and np.allclose(kept[best], full[best])


def test_much_data_is_compared_by_shorter_histories_and_keeps_fewer_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted("item_neighbours", world().interactions, PLAIN)
    length = np.diff((world().interactions.csr(damping="binary") > 0).indptr)
    monkeypatch.setattr(neighbours, "PAIRS", 3 * len(world().startups))
    monkeypatch.setattr(neighbours, "PRODUCTS", int((np.minimum(length, 4) ** 2).sum()))
    less = neighbours.fit_neighbours("item_neighbours_v1", world().interactions, PLAIN.of(NeighboursConfig), history=8)
    assert (less.config["neighbours"], less.config["neighbours_history"]) == (3, 4)
    assert np.diff(less.arrays["indptr"]).max() == 3 < np.diff(whole.arrays["indptr"]).max()


def test_of_a_long_history_the_newest_pairs_are_compared() -> None:
    cells = [(0, i, LIKE) for i in range(6)] + [(1, i, LIKE) for i in range(2)]
    at = np.array([60, 50, 40, 30, 20, 10, 5, 6])
    similar = matrix_of(
        neighbours.fit_neighbours("item_neighbours_v1", events(cells, 2, 6, at), PLAIN.of(NeighboursConfig), history=3)
    )
    assert similar[0, 2] > 0 and not similar[3:].any()


def test_no_interest_at_all() -> None:
    with pytest.raises(TooSparse, match="events of interest"):
        fitted("item_neighbours", events([(0, 0, DISLIKE)], 2, 2), PLAIN)


def test_old_events_of_a_neighbour_count_less() -> None:
    """Owners 0 and 1 met items 0 and 1: item 1 a day ago, the full span, item 0 now and a day ago."""
    cells, at = [(0, 0, LIKE), (0, 1, LIKE), (1, 0, LIKE), (1, 1, LIKE)], np.array([86_400, 0, 0, 0])
    faded = SMALL.layered({"neighbours_half_life_share": 0.5}, "given")
    similar = matrix_of(fitted("item_neighbours", events(cells, 2, 2, at), faded))
    assert similar[0, 1] == pytest.approx(0.25), "both meetings of item 1 are two half-lives old"
    assert similar[1, 0] == pytest.approx((1 + 0.25) / 2), "of item 0 one is fresh"


def test_the_reverse_model_may_have_a_half_life_of_its_own() -> None:
    own = SMALL.layered({"neighbours_reverse_half_life_share": 0.1}, "given")
    for settings, share in ((SMALL, 0.5), (own, 0.1)):
        forward, reverse = (settings.table(name) for name in ("item_neighbours", "item_neighbours_reverse"))
        assert forward.half_life_share == 0.5 and reverse.completed(forward).half_life_share == share


def people_of(bundle: Bundle) -> dict[tuple[int, int], tuple[int, int]]:
    """Return the type of event and the number of people, by pair of items."""
    n, arrays = len(bundle.maps["item"]), bundle.arrays
    parts = (arrays["people_data"], arrays["people_indices"], arrays["people_indptr"])
    cells = sparse.csr_matrix(parts, shape=(n, n)).tocoo()
    columns = (cells.row.tolist(), cells.col.tolist(), cells.data.tolist())
    return {(row, column): (cell >> 8, cell & 255) for row, column, cell in zip(*columns, strict=True)}


def test_users_of_each_event_type_with_a_neighbour_are_counted() -> None:
    """Four people met items 0 and 1. Three applied to 1 but two to 0: too few to show.

    One of the three who met item 2 disliked it.
    """
    apply = EventType.APPLY.code
    cells = [(p, i, VIEW) for p in range(4) for i in (0, 1)]
    cells += [(0, 1, apply), (1, 1, apply), (2, 1, apply), (0, 0, apply), (1, 0, apply)]
    cells += [(p, 2, LIKE) for p in range(2)] + [(3, 2, DISLIKE)]
    found = people_of(neighbours.fit_neighbours("n", events(cells, 4, 3), PLAIN.table("item_neighbours")))
    assert found == {(0, 1): (apply, 3), (1, 0): (VIEW, 4)}


def test_numbers_of_people_are_those_of_plain_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts are of the strongest type with enough users, for any blocks."""
    monkeypatch.setattr(neighbours, "BLOCK", 50)
    w = world()
    events, positive = w.interactions, (w.interactions.csr() > 0).toarray()
    found = people_of(neighbours.fit_neighbours("n", events, PLAIN.table("item_neighbours"), threads=2))
    assert found
    for (row, column), told in found.items():
        both = set(np.flatnonzero(positive[:, row] & positive[:, column]).tolist())
        did = ((t.code, events.owner[(events.item == column) & (events.kind == t.code)]) for t in COUNTED_TYPES)
        numbers = [(code, len(both & set(who.tolist()))) for code, who in did]
        assert told == next(pair for pair in numbers if pair[1] >= PEOPLE_LEAST)
