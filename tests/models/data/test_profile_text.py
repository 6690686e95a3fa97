"""Tokenise text, and embed the text of an unseen owner."""

from __future__ import annotations

import numpy as np

from models.data.profile_text import text_of, tokens_of
from models.scoring.factors import embed


def test_a_startup_has_whole_values_and_words() -> None:
    profile = {
        "startup_id": "x",
        "name": "SlapVid",
        "category": "games_video",
        "tags": "AI; Machine Learning",
        "stage": "series-a",
        "location": "Pittsburgh, PA, USA",
        "description": "The video of C++ and you",
        "field": "",
        "type": "",
    }
    assert tokens_of(profile) == [
        "ai",
        "c++",
        "category:games_video",
        "games",
        "learning",
        "location:pa",
        "location:pittsburgh",
        "location:usa",
        "machine",
        "stage:series_a",
        "tag:ai",
        "tag:machine_learning",
        "video",
    ]


def test_a_users_interest_meets_a_category() -> None:
    user, startup = tokens_of({"interests": "Games, Video"}), tokens_of({"category": "games_video"})
    assert {"games", "video"} <= set(user) & set(startup)


def test_blank_profiles_have_no_effect() -> None:
    assert tokens_of({"category": "", "location": " , ", "headline": "the a"}) == []
    assert text_of({}) == ""


def test_text_survives_the_way_through_owners() -> None:
    profile = {"skills": "Go;Rust;data engineering", "location": "São Paulo, BR"}
    assert text_of(profile).split(" ") == tokens_of(profile)
    assert "location:são_paulo" in tokens_of(profile)


def test_embedding_is_the_normalised_sum() -> None:
    tokens = np.array(["ai", "go"], dtype="<U2")
    vectors = np.array([[3, 0], [0, 4]], dtype=np.float32)
    got, known = embed([["ai", "go"], ["ai"], ["golang"], [], ["go", "zz"]], tokens, vectors)
    np.testing.assert_allclose(got, np.array([[0.6, 0.8], [1, 0], [0, 0], [0, 0], [0, 1]]), atol=1e-6)
    assert known.tolist() == [True, True, False, False, True]


def test_no_tokens_at_all() -> None:
    got, known = embed([["ai"]], np.zeros(0, "<U1"), np.zeros((0, 3), np.float32))
    assert got.shape == (1, 3) and not known.any()
