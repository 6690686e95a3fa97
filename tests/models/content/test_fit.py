"""Fit the text space: weights by hand, right answers, unseen owners, blanks (A01)."""

from __future__ import annotations

import numpy as np
import pytest

from models import content
from models.content import ContentConfig
from models.content.fit import fit_content, unit
from models.data.bundle import Bundle
from models.data.interactions import Interactions
from models.data.profile_text import idf, incidence, tokens_of, vocabulary
from models.schema import EventType
from models.scoring.factors import embed
from models.settings.settings import Settings
from tests.marketplace.world import WORDS, world
from tests.models.model_contract import SMALL, Fit, ModelContract, first_choices


def fitted(interactions: Interactions, settings: Settings = SMALL, **changed: dict[str, list[str]]) -> Bundle:
    w = world()
    given = {"users": w.user_profiles, "startups": w.startup_profiles} | changed
    return fit_content(
        given["users"],
        given["startups"],
        interactions,
        w.users.ids,
        w.startups.ids,
        settings.of(ContentConfig),
    )


class TestContent(ModelContract):
    spec = content.SPEC

    def test_first_choices_lie_in_the_planted_group(self, fit: Fit) -> None:
        w, bundle = world(), fit(world().interactions, SMALL)
        people, startups = bundle.arrays["user_vectors"], bundle.arrays["startup_vectors"]
        best = first_choices(people, startups, w.interactions.pairs().toarray() > 0)
        assert (w.startup_group[best] == w.user_group).all(), "also of those who never did anything"

    def test_vectors_are_unit(self, fit: Fit) -> None:
        bundle = fit(world().interactions, SMALL)
        for side in ("user", "startup"):
            assert np.linalg.norm(bundle.arrays[f"{side}_vectors"], axis=1) == pytest.approx(1.0, abs=1e-5)


def test_rarity_by_hand() -> None:
    """Four profiles have words: "a" in three, "b" in one: ln(5/4) + 1 and ln(5/2) + 1. The blank one does not count."""
    lists = [["a", "b"], ["a"], ["a"], ["c"], []]
    matrix = incidence(lists, np.array(["a", "b", "c"]))
    assert idf(matrix) == pytest.approx([np.log(5 / 4) + 1, np.log(5 / 2) + 1, np.log(5 / 2) + 1])


def test_vocabulary_is_bounded_and_ordered() -> None:
    lists = [["rare", "x", "y"], ["x", "y"], ["x", "y", "z"], ["z", "k" * 65], ["k" * 65]]
    assert vocabulary(lists, 100, 2).tolist() == ["x", "y", "z"]
    assert vocabulary(lists, 2, 1).tolist() == ["x", "y"]
    assert vocabulary([], 10, 1).tolist() == []


def test_a_token_vector_holds_its_rarity() -> None:
    """With as many dimensions as words, token vectors are orthogonal, and their length is the idf."""
    bundle = fitted(world().interactions, SMALL.layered({"content_dimensions": 500}, "given"))
    tokens, vectors = bundle.arrays["tokens"], bundle.arrays["token_vectors"].astype(float)
    assert vectors.shape[1] == len(tokens) and list(tokens) == sorted(tokens)
    lists = [
        tokens_of(dict(zip(p, row, strict=True)))
        for p in (world().user_profiles, world().startup_profiles)
        for row in zip(*p.values(), strict=True)
    ]
    expected = np.diag(idf(incidence(lists, tokens)).astype(float) ** 2)
    assert vectors @ vectors.T == pytest.approx(expected, abs=1e-3)


def test_an_unseen_owner_with_the_text_of_a_startup_has_its_vector() -> None:
    w, bundle = world(), fitted(world().interactions)
    profile = {name: column[7] for name, column in w.startup_profiles.items()}
    found, known = embed([tokens_of(profile)], bundle.arrays["tokens"], bundle.arrays["token_vectors"])
    assert known.all() and found[0] == pytest.approx(bundle.arrays["startup_vectors"][7], abs=1e-5)


def test_a_user_is_profile_plus_mean_of_history_without_dislikes() -> None:
    w = world()
    alone = fitted(w.interactions.where(np.zeros(len(w.interactions), bool)))
    person = 5
    at = np.full(3, w.interactions.at.min())
    kinds = [EventType.LIKE.code, EventType.LIKE.code, EventType.DISLIKE.code]
    some = Interactions(
        w.users.ids,
        w.startups.ids,
        np.full(3, person, np.int32),
        np.array([3, 8, 20], np.int32),
        np.array(kinds, np.int8),
        at,
    )
    with_history = fitted(some).arrays["user_vectors"]
    profile, startups = alone.arrays["user_vectors"][person], alone.arrays["startup_vectors"]
    assert with_history[person] == pytest.approx(unit((profile + (startups[3] + startups[8]) / 2)[None])[0], abs=1e-5)
    others = np.arange(len(with_history)) != person
    assert (with_history[others] == alone.arrays["user_vectors"][others]).all()


def test_blank_and_idle_is_unknown() -> None:
    w = world()
    blank = {name: ["" for _ in column] for name, column in w.user_profiles.items()}
    bundle = fitted(w.interactions, users=blank)
    acted = np.asarray((w.interactions.csr() > 0).sum(1)).ravel() > 0
    assert (bundle.arrays["user_vectors"].any(1) == acted).all()
    assert bundle.config["known_users"] == acted.sum()


def test_no_words_at_all_is_no_failure() -> None:
    w = world()
    blank = {
        kind: {name: ["" for _ in column] for name, column in profiles.items()}
        for kind, profiles in (("users", w.user_profiles), ("startups", w.startup_profiles))
    }
    bundle = fitted(w.interactions, SMALL, **blank)
    assert not bundle.arrays["user_vectors"].any() and not bundle.arrays["startup_vectors"].any()
    assert "content matches nobody" in bundle.config["note"]
    assert embed([["games"]], bundle.arrays["tokens"], bundle.arrays["token_vectors"])[1].tolist() == [False]


def test_the_words_of_a_group_stand_together() -> None:
    bundle = fitted(world().interactions)
    found, _ = embed([[w[0]] for w in WORDS], bundle.arrays["tokens"], bundle.arrays["token_vectors"])
    startups = bundle.arrays["startup_vectors"]
    assert (world().startup_group[(found @ startups.T).argmax(1)] == np.arange(3)).all()
