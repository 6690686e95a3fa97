"""A build and the reader compute the same features from any profile."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from werkzeug.datastructures import MultiDict

from models.catalogue.catalogue import decode_items, encode_items
from models.content import ContentConfig
from models.content.fit import fit_content
from models.data.batch import Owners
from models.data.profile_text import text_of, token_lists
from models.features.location import AFFINITIES, LocationMatch, coded, codes_in
from models.schema import FACETS, Entity, Role
from models.scoring.factors import embed
from models.words import folded
from pipelines.export.snapshot import Snapshot
from pipelines.refresh.changes import _arrival, extended
from serving.http.requests import read_query

ODD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TIDY = (
    "Berlin",
    "Hamburg",
    "Germany",
    "New York",
    "USA",
    "東京",
    "हिन्दी",
    "เทคโนโลยี",
    "Fin Tech",
    "c++",
    "ﬁn",
    "straße",
)
BETWEEN = st.sampled_from([", ", ",", "/", "; ", "|", "、", " ", "\u00a0", "，", "\u200b", "-", "_"])
TEXT = st.lists(st.sampled_from((*TIDY, *map(str.upper, TIDY))) | ODD | BETWEEN, max_size=6).map("".join)
ROLE = st.sampled_from(["developer", "Developer", " investor", "INVESTOR\u00a0", "founder", "", "Ｄeveloper"]) | ODD
PERSON = st.fixed_dictionaries({"role": ROLE, "headline": TEXT, "skills": TEXT, "interests": TEXT, "location": TEXT})
STARTUP = st.fixed_dictionaries(dict.fromkeys(("description", "tags", *FACETS), TEXT))
AS_OF = "2024-05-01T00:00:00Z"


def snapshot(people: list[dict[str, str]], startups: list[dict[str, str]]) -> Snapshot:
    users = pd.DataFrame([{"user_id": f"{n:08d}-0000-4000-8000-000000000001", **p} for n, p in enumerate(people)])
    items = pd.DataFrame([{"startup_id": f"{n:08d}-0000-4000-8000-000000000002", **s} for n, s in enumerate(startups)])
    events = pd.DataFrame({c: [] for c in ("user_id", "startup_id", "interaction_type", "occurred_at")}, dtype=str)
    return Snapshot.from_frames(users, items, events, AS_OF)


def strangers(texts: list[str], items: int, row: np.ndarray) -> Owners:
    nothing = sparse.csr_matrix((len(row), items), dtype=np.float32)
    zeros = np.zeros(len(row), np.int32)
    return Owners(row, zeros, zeros.astype(bool), nothing, nothing.astype(bool), tuple(texts) if texts else None)


@settings(max_examples=60, deadline=None)
@given(st.lists(PERSON, min_size=1, max_size=6), st.lists(STARTUP, min_size=1, max_size=6))
def test_a_profile_is_the_same_from_rows_and_from_the_reader(
    people: list[dict[str, str]], startups: list[dict[str, str]]
) -> None:
    taken = snapshot(people, startups)
    users, items = taken.entities(Entity.USER), taken.entities(Entity.STARTUP)
    # the role
    assert [Role.of_code(r) if r >= 0 else None for r in users.role] == [Role.of(p["role"]) for p in people]
    # places, on both sides
    for owners, mine, others in ((users, people, items), (items, startups, users)):
        found = LocationMatch.from_entities(owners, others, np.arange(len(others)))
        owner, item = (a.ravel() for a in np.indices((len(owners), len(others))))
        batch = found.columns(strangers([], len(others), np.arange(len(owners), dtype=np.int32)), owner, item)
        live = found.columns(
            strangers([text_of(p) for p in mine], len(others), np.full(len(owners), -1, np.int32)), owner, item
        )
        for level, column in batch.items():
            np.testing.assert_array_equal(column.of(), live[level].of(), err_msg=level)
    # words
    profiles = taken.profiles(Entity.USER), taken.profiles(Entity.STARTUP)
    assert [" ".join(t) for t in token_lists(profiles[0])] == [text_of(p) for p in people]


@settings(max_examples=60, deadline=None)
@given(st.lists(STARTUP, min_size=1, max_size=8), st.integers(0, 8))
def test_facets_are_the_same_in_a_build_in_a_refresh_in_features_and_in_filters(
    startups: list[dict[str, str]], known: int
) -> None:
    whole = snapshot([{"role": "developer"}], startups).entities(Entity.STARTUP)
    if 0 < known < len(startups):  # the others arrive after the build
        before = snapshot([{"role": "developer"}], startups[:known]).entities(Entity.STARTUP)
        row = {"created_at": None, "gone": False, "founder_id": None}
        later = extended(
            before,
            [
                _arrival(before, {**row, **s, "id": i})
                for s, i in zip(startups[known:], whole.ids.ids[known:], strict=True)
            ],
        )
    else:
        later = whole
    table = decode_items(encode_items(later))
    for facet in FACETS:
        compared = [folded(s[facet]) for s in startups]
        for entities in (whole, later):
            codes = entities.facets[facet]
            assert [folded(entities.labels[facet][c]) if c >= 0 else "" for c in codes] == compared
            assert len({folded(label) for label in entities.labels[facet]}) == len(entities.labels[facet])
            assert all(label in {" ".join(s[facet].split()) for s in startups} for label in entities.labels[facet])
        for text in {s[facet] for s in startups}:
            wanted = read_query(_asked(facet, text)).facets.get(facet, ("",))
            passing = [c for value in wanted for c in table.codes[facet].get(value, ())]
            assert [c in passing for c in later.facets[facet]] == [c == folded(text) != "" for c in compared]
    for name in AFFINITIES:
        codes, stated = coded(later)[name]
        np.testing.assert_array_equal(codes, codes_in(stated, later, name))
        np.testing.assert_array_equal(codes, codes_in([s.upper() for s in stated], later, name)) if all(
            folded(s.upper()) == s for s in stated
        ) else None


def _asked(facet: str, text: str) -> MultiDict[str, str]:
    return MultiDict({facet: text})


def test_words_make_the_same_vector_in_a_build_and_live() -> None:
    people = [{"role": "developer", "skills": f"{a};{b}", "location": a} for a in TIDY for b in TIDY if a < b]
    startups = [{"category": a.upper(), "tags": f"{a} {b}", "location": f"{b}/{a}"} for a, b in pairwise(TIDY)]
    taken = snapshot(people, startups)
    profiles = taken.profiles(Entity.USER), taken.profiles(Entity.STARTUP)
    bundle = fit_content(
        *profiles,
        taken.interactions(),
        taken.user_ids,
        taken.startup_ids,
        ContentConfig(dimensions=8),
        least_profiles=1,
    )
    for name, mine in (("user", people), ("startup", startups)):
        vectors, known = embed(
            [text_of(p).split() for p in mine], bundle.arrays["tokens"], bundle.arrays["token_vectors"]
        )
        assert known.all()
        np.testing.assert_allclose(vectors, bundle.arrays[f"{name}_vectors"], atol=1e-3)
