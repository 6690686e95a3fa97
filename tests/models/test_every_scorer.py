"""Check every source on the planted world: the contract of scorers, and the right answers."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from models.als import ALS
from models.content import CONTENT_BASED
from models.data.batch import Candidates, Owners
from models.data.bundle import Bundle
from models.data.profile_text import text_of
from models.errors import BundleCorrupt
from models.external.scorer import PairScorer
from models.item_neighbours import ITEM_NEIGHBOURS
from models.popularity.scorer import PopularScorer
from models.schema import Role, Surface
from models.scoring import neighbours
from models.scoring.factors import FactorScorer, TextFactorScorer
from models.scoring.neighbours import NeighbourScorer
from models.scoring.scorer import Scorer
from models.two_tower import inputs as tower_inputs
from models.two_tower import network
from models.two_tower.inputs import WORDS as WORDS_READ
from models.two_tower.inputs import Pairs, inputs_of, words_of
from models.two_tower.scorer import TwoTowerScorer
from tests.marketplace.bundles import SMALL as PLANTED
from tests.marketplace.bundles import planted_bundles
from tests.marketplace.data import plan_of
from tests.marketplace.world import GROUPS, STARTUPS, WORDS, world
from tests.models.scorer_contract import ScorerContract, every_scorer, lists_of

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


def batch(strangers: int = 1) -> Owners:
    return world().owners(SURFACE, strangers=strangers)


def hits(scorer: Scorer, owners: Owners) -> list[float]:
    """Return the share of right answers in the first places of each warm owner."""
    w = world()
    items = w.startups.items_of(SURFACE)
    found = lists_of(scorer.propose(owners, 50))
    right = {i: w.right(SURFACE, row) for i, row in enumerate(owners.row) if row >= 0 and owners.count[i] >= 5}
    return [len({int(items[j]) for j, _ in found[i][: len(r)]} & r) / len(r) for i, r in right.items()]


class TestFactors(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        """Factorise the events with rank GROUPS. One startup in nine is unknown to it."""
        w = world()
        left, size, right = sparse.linalg.svds(
            w.interactions.csr().maximum(0).astype(np.float64), GROUPS, v0=np.ones(len(w.startups))
        )
        items = w.startups.items_of(SURFACE)
        return FactorScorer(
            ALS,
            (left * size).astype(np.float32),
            w.users.count > 2,
            right.T[items].astype(np.float32),
            items % 9 != 0,
        )

    @pytest.fixture
    def owners(self) -> Owners:
        return batch()

    @pytest.fixture
    def silent(self, owners: Owners) -> list[int]:
        return np.flatnonzero(owners.count <= 2).tolist()

    def test_unknown_items_are_never_proposed(self, scorer: Scorer, owners: Owners) -> None:
        items = world().startups.items_of(SURFACE)
        assert not (items[scorer.propose(owners, 99).item] % 9 == 0).any()


class TestContent(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        """Give each group one axis. Users without events have no text."""
        w = world()
        axis = np.eye(GROUPS, dtype=np.float32)
        items = w.startups.items_of(SURFACE)
        words = sorted({v.split(" ")[0] for group in WORDS for v in group})
        vectors = np.stack(
            [axis[[any(v.split(" ")[0] == word for v in group) for group in WORDS].index(True)] for word in words]
        )
        return TextFactorScorer(
            CONTENT_BASED,
            axis[w.user_group],
            w.users.count > 0,
            axis[w.startup_group[items]],
            np.ones(len(items), bool),
            np.array(words),
            2 * vectors,
        )

    @pytest.fixture
    def owners(self) -> Owners:
        strangers = batch(3)
        told = ["", text_of({"interests": "Genomics; sailing"}), text_of({"headline": "Sailing"})]
        return replace(strangers, text=("",) * (len(strangers) - 3) + tuple(told))

    @pytest.fixture
    def silent(self, owners: Owners) -> list[int]:
        return [*np.flatnonzero((owners.count == 0) & (owners.row >= 0)).tolist(), len(owners) - 3, len(owners) - 1]

    def test_right_answers_come_first(self, scorer: Scorer, owners: Owners) -> None:
        assert min(hits(scorer, owners)) == 1

    def test_the_text_of_an_unseen_owner_finds_its_group(self, scorer: Scorer, owners: Owners) -> None:
        w = world()
        found = lists_of(scorer.propose(owners, STARTUPS - 1))[len(owners) - 2]
        assert set(w.startup_group[w.startups.items_of(SURFACE)[[j for j, _ in found]]].tolist()) == {1}
        assert [s for _, s in found] == [1.0] * (STARTUPS - 1)

    def test_without_texts_unseen_owners_get_no_scores(self, scorer: Scorer) -> None:
        assert lists_of(scorer.propose(batch(), 3))[-1] == []


class TestTower(ScorerContract):
    """The towers are fitted on the planted world. One of the last three unseen owners has words of group 1."""

    @pytest.fixture
    def bundle(self) -> Bundle:
        return planted_bundles()["two_tower_v1"]

    @pytest.fixture
    def scorer(self, bundle: Bundle) -> Scorer:
        w, items = world(), world().startups.items_of(SURFACE)
        factors = bundle.arrays["item_factors"][items]
        return TwoTowerScorer(
            SURFACE, bundle, bundle.arrays["user_factors"], w.users.count > 0, factors, np.ones(len(items), bool)
        )

    @pytest.fixture
    def owners(self) -> Owners:
        strangers = batch(3)
        told = ["", text_of({"interests": "Genomics; biotech; wet lab; sailing"}), text_of({"headline": "Sailing"})]
        return replace(strangers, text=("",) * (len(strangers) - 3) + tuple(told))

    @pytest.fixture
    def silent(self, owners: Owners) -> list[int]:
        return [*np.flatnonzero((owners.count == 0) & (owners.row >= 0)).tolist(), len(owners) - 3, len(owners) - 1]

    def test_right_answers_come_first(self, scorer: Scorer, owners: Owners) -> None:
        assert np.mean(hits(scorer, owners)) > 0.9

    def test_the_text_of_an_unseen_owner_finds_its_group(self, scorer: Scorer, owners: Owners) -> None:
        w = world()
        found = lists_of(scorer.propose(owners, 6))[len(owners) - 2]
        assert set(w.startup_group[w.startups.items_of(SURFACE)[[j for j, _ in found]]].tolist()) == {1}

    @pytest.mark.parametrize("most", [2, WORDS_READ])
    def test_words_are_read_as_in_training(self, bundle: Bundle, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each entity again as an unseen owner with the same words: id 0, no history."""
        monkeypatch.setattr(tower_inputs, "WORDS", most)
        bundle = replace(bundle, config={**bundle.config, "words": most})
        w = world()
        words = words_of(w.users, w.user_profiles, w.startup_profiles, plan_of(PLANTED).terms)
        pairs = Pairs.from_interactions(w.interactions, PLANTED.table("two_tower").half_life_share)
        inputs = inputs_of(w.interactions, pairs, words)
        unmet = replace(inputs, user_id=0 * inputs.user_id, item_id=0 * inputs.item_id, history=0 * inputs.history)
        towers = network.towers_of(len(w.users), len(w.startups), inputs.terms, PLANTED.table("two_tower").dimensions)
        file = io.BytesIO(bundle.files["two_tower_v1_best.pth"])
        towers.load_state_dict(torch.load(file, weights_only=True))
        people, startups = network.vectors(towers, network.on_device(unmet, PLANTED.device))
        for surface, profiles, expected in (
            (SURFACE, w.user_profiles, people),
            (Surface.DEVELOPERS_FOR_STARTUP, w.startup_profiles, startups),
        ):
            rows = np.flatnonzero((w.users.role == 0) & ~w.users.opted_out) if surface is SURFACE else np.arange(36)
            texts = [text_of({c: v[i] for c, v in profiles.items()}) for i in rows.tolist()]
            nobody = np.zeros((0, PLANTED.table("two_tower").dimensions), np.float32)
            scorer = TwoTowerScorer(surface, bundle, nobody, np.zeros(0, bool), nobody, np.zeros(0, bool))
            vectors, known = scorer._vectors(strangers(texts))
            assert known.all() and vectors == pytest.approx(expected[rows], abs=1e-5)


def strangers(texts: list[str]) -> Owners:
    n, none = len(texts), sparse.csr_matrix((len(texts), 0), dtype=np.float32)
    zeros = np.zeros(n, np.int32)
    return Owners(zeros - 1, zeros, zeros > 0, none, none.astype(bool), tuple(texts))


class TestNeighbours(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        w = world()
        met = w.interactions.pairs().astype(np.float32)[:, w.startups.items_of(SURFACE)]
        met = met @ sparse.diags(1 / np.maximum(np.sqrt(met.sum(axis=0).A1), 1).astype(np.float32))
        similarity = (met.T @ met).tocsr()
        similarity.setdiag(0)
        similarity.eliminate_zeros()
        return NeighbourScorer(similarity.astype(np.float32), ITEM_NEIGHBOURS)

    @pytest.fixture
    def owners(self) -> Owners:
        return batch()

    @pytest.fixture
    def silent(self, owners: Owners) -> list[int]:
        return np.flatnonzero(owners.history.maximum(0).getnnz(axis=1) == 0).tolist()

    def may_stop_early(self, scores: np.ndarray) -> bool:
        return bool(scores.min() <= 0)

    def test_hand_computed(self) -> None:
        """2 x 0.5 of item 0 and -1 x 0.25 of item 1 give 0.75 for item 2. Item 3 is similar to nothing."""
        similarity = sparse.csr_matrix(
            np.array([[0, 0, 0.5, 0], [0, 0, 0.25, 0], [0.5, 0.25, 0, 0], [0, 0, 0, 0]], np.float32)
        )
        history = sparse.csr_matrix(np.array([[2, -1, 0, 0]], np.float32))
        owner = Owners(
            np.array([0], np.int32), np.array([2], np.int32), np.array([False]), history, (history != 0).tocsr()
        )
        assert lists_of(NeighbourScorer(similarity, ITEM_NEIGHBOURS).propose(owner, 5)) == [[(2, 0.75)]]

    def test_right_answers_come_first(self, scorer: Scorer, owners: Owners) -> None:
        """A neighbour model cannot know the startup without events."""
        assert min(hits(scorer, owners)) >= 0.7 and np.mean(hits(scorer, owners)) > 0.74


class TestNeighboursInParts(TestNeighbours):
    """A large catalogue splits a batch into parts, and there are more owners than one product takes."""

    @pytest.fixture(autouse=True)
    def parts(self, monkeypatch: pytest.MonkeyPatch, scorer: NeighbourScorer) -> None:
        monkeypatch.setattr(neighbours, "_ROWS", 20)
        monkeypatch.setattr(scorer, "_chunk", 7)


class TestNeighboursWithoutDenseRows(TestNeighbours):
    @pytest.fixture(autouse=True)
    def every_row_is_sparse(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(neighbours, "_SPARSE", 0)

    def test_dense_rows_give_the_same(
        self, monkeypatch: pytest.MonkeyPatch, scorer: NeighbourScorer, owners: Owners
    ) -> None:
        weighted = scorer.weighted(np.linspace(0, 1, scorer._items, dtype=np.float32))
        pairs = Candidates.union(
            len(owners), {ITEM_NEIGHBOURS: PopularScorer(np.ones(scorer._items)).propose(owners, 9)}
        )

        def found() -> list[np.ndarray]:
            proposals = [s.propose(owners, 5) for s in (scorer, weighted)]
            scores = [s.score(owners, pairs) for s in (scorer, weighted)]
            return [*scores, *(getattr(p, name) for p in proposals for name in ("indptr", "item", "score"))]

        sparse_rows = found()
        monkeypatch.setattr(neighbours, "_SPARSE", 1 << 40)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(sparse_rows, found(), strict=True))


class TestPairs(ScorerContract):
    """Scores of the pairs of a group, with a stored zero, for owners who met more than two."""

    @pytest.fixture
    def scorer(self) -> Scorer:
        w = world()
        owner, item = np.nonzero(w.user_group[:, None] == w.startup_group[w.startups.items_of(SURFACE)])
        known = w.users.count[owner] > 2
        score = np.round(np.random.default_rng(5).random(len(owner)), 1).astype(np.float32)
        shape = len(w.users), len(w.startups.items_of(SURFACE))
        return PairScorer(ALS, sparse.csr_matrix((score[known], (owner[known], item[known])), shape))

    @pytest.fixture
    def owners(self) -> Owners:
        return batch()

    @pytest.fixture
    def silent(self, owners: Owners) -> list[int]:
        return np.flatnonzero(owners.count <= 2).tolist()

    def test_a_stored_zero_is_a_score(self, scorer: Scorer, owners: Owners) -> None:
        assert (scorer.propose(owners, 99).score == 0).any()


class TestPopular(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        w = world()
        popularity = w.startups.views[w.startups.items_of(SURFACE)]
        return PopularScorer((popularity / popularity.max()).astype(np.float32))

    @pytest.fixture
    def owners(self) -> Owners:
        return batch(2)

    @pytest.fixture
    def silent(self) -> list[int]:
        return []


def test_vectors_of_the_known_must_be_finite() -> None:
    bad, good = np.array([[np.nan], [1]], np.float32), np.ones((2, 1), np.float32)
    known = np.array([False, True])
    FactorScorer(ALS, bad, known, bad, known)
    for left, right in ((bad, good), (good, bad)):
        with pytest.raises(BundleCorrupt, match="finite vectors for als"):
            FactorScorer(ALS, left, ~known, right, ~known)


def test_no_scorer_escapes_the_contract() -> None:
    here = {
        TestFactors: FactorScorer,
        TestContent: TextFactorScorer,
        TestTower: TwoTowerScorer,
        TestNeighbours: NeighbourScorer,
        TestPairs: PairScorer,
        TestPopular: PopularScorer,
    }
    assert every_scorer() == set(here.values())


def test_the_world_is_as_planted() -> None:
    w = world()
    assert len(w.rows(Role.DEVELOPER, 0)) == GROUPS and (w.users.count[w.rows(Role.INVESTOR, 1)] == 0).all()
    assert w.users.opted_out.sum() == GROUPS and (~w.startups.listed).sum() == GROUPS
    assert w.interactions.disliked().nnz > 20 and min(map(len, (w.right(SURFACE, int(i)) for i in batch(0).row))) > 3
    assert {0, 2} < set(np.minimum(w.users.count, 20).tolist()) and w.users.count.max() >= 20
