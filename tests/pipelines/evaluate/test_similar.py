"""Queries and hit rates of similar lists, by hand and on the planted world."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.entities import IdMap
from models.data.interactions import Interactions
from models.schema import Entity, EventType, Role, Similar
from pipelines.evaluate import similar
from pipelines.evaluate.similar import CONTENT, DEPTH, PARTNERS, Queries, queries, similar_figures
from pipelines.report.figure_names import POPULAR, SERVED
from pipelines.report.sections import similar_section
from tests.marketplace.bundles import SMALL, planted_bundles
from tests.marketplace.world import AS_OF_US, world

LIKE, DISLIKE, IMPRESSION = (t.code for t in (EventType.LIKE, EventType.DISLIKE, EventType.IMPRESSION))


def ids(n: int, first: int) -> IdMap:
    return IdMap.from_ids(f"{first + i:08d}-0000-4000-8000-000000000000" for i in range(n))


def events(*rows: tuple[int, int, int, int]) -> Interactions:
    """Return events of (user, startup, type, time)."""
    owner, item, kind, at = np.array(rows).T
    return Interactions(
        ids(3, 1),
        ids(4, 5),
        owner.astype(np.int32),
        item.astype(np.int32),
        kind.astype(np.int8),
        at.astype(np.int64),
    )


def asked(given: Interactions, cut_us: int, role: tuple[int, ...] = (0, 0, 1)) -> dict[str, list[tuple[int, int]]]:
    listed = {Entity.USER: np.ones(3, bool), Entity.STARTUP: np.array([True, True, True, False])}
    found = queries(given, cut_us, np.array(role, np.int8), listed)
    return {q.name: list(zip(q.item.tolist(), q.answer.tolist(), strict=True)) for q in found}


def test_a_query_is_the_item_before_a_new_one() -> None:
    given = events(
        (0, 0, LIKE, 1), (0, 1, LIKE, 2), (0, 0, LIKE, 11), (0, 2, LIKE, 12), (1, 2, LIKE, 13), (1, 1, LIKE, 14)
    )
    assert asked(given, 10) == {"startups": [(1, 2), (2, 1)], "developers": [(0, 1), (0, 1)], "investors": []}


def test_dislikes_impressions_and_unlisted_items_are_neither_query_nor_answer() -> None:
    given = events((0, 0, LIKE, 1), (0, 1, DISLIKE, 11), (0, 3, LIKE, 12), (0, 1, IMPRESSION, 13), (0, 2, LIKE, 14))
    assert asked(given, 10)["startups"] == [(0, 2)]


def test_people_are_asked_for_by_role() -> None:
    given = events((0, 0, LIKE, 1), (2, 0, LIKE, 11), (1, 0, LIKE, 12))
    assert asked(given, 10) == {"startups": [], "developers": [(0, 1)], "investors": []}


def test_a_hit_is_within_k_places() -> None:
    one = Queries(
        "startups", Similar.STARTUPS, np.array([0, 1]), np.array([2, 2]), events((0, 0, LIKE, 1)), np.ones(4, bool)
    )
    lists = np.full((4, DEPTH), -1)
    lists[0, :3], lists[1, :1] = [1, 3, 2], [3]
    assert one.hits(lists, 3).tolist() == [1, 0] and one.hits(lists, 2).tolist() == [0, 0]
    assert one.demand.tolist() == [1, 0, 0, 0]


def test_more_queries_than_the_limit_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    given = events(*((0, i, LIKE, 10 + i) for i in range(3)), *((1, i, LIKE, 20 + i) for i in range(3)))
    assert len(asked(given, 0)["startups"]) == 4
    monkeypatch.setattr(similar, "QUERIES", 2)
    assert asked(given, 0)["startups"] == [(0, 1), (0, 1)]


def test_the_figures_beat_popularity_in_the_planted_world() -> None:
    w = world()
    cut_us = int(np.quantile(w.interactions.at, 0.8))
    listed = {e: w.entities(e).listed for e in Entity}
    found = similar_figures(w.interactions, cut_us, w.users.role, listed, planted_bundles(), SMALL)
    assert set(found) == {"startups", *(f"{role}s" for role in Role)}
    for said in found.values():
        assert set(said["lists"]) == {SERVED, PARTNERS, CONTENT, POPULAR} and said["queries"] > 0
        rates = {name: rate["hr_10"]["mean"] for name, rate in said["lists"].items()}
        assert rates[SERVED] > rates[POPULAR] and all(0 <= r <= 1 for r in rates.values())
    page = similar_section(found)
    assert "HR@10" in page and "startups: served" in page and similar_section({}) == ""
    assert cut_us < AS_OF_US
