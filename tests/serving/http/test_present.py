"""Make the public body of a list, byte for byte."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from models import registry
from models.als import ALS
from models.catalogue.catalogue import ItemTable
from models.content import CONTENT_BASED
from models.data.entities import IdMap
from models.item_neighbours import ITEM_NEIGHBOURS
from models.lists.reasons import from_bits, packed, standing_bit
from models.lists.redis_format import StoredList
from models.lists.release import Release
from models.popularity import POPULAR
from models.schema import FACETS, REASONS, Entity, EventType, Method, Standing, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from models.two_tower import TWO_TOWER
from serving.http import present
from serving.http.answer_ids import AnswerIds
from serving.http.requests import Query
from serving.lists import NOBODY, Answer
from serving.releases import HeldRelease
from tests.paths import GOLDEN

GOLDEN_FILE = GOLDEN / "reader_answer_2.json"
GOLDEN_FILE_1 = GOLDEN / "reader_answer_1.json"
NOW = datetime(2024, 5, 2, 2, 0, tzinfo=UTC)
OWNER = "0000000a-0000-4000-8000-000000000000"
IDS = AnswerIds(Settings(answer_key=Secret("for this test alone")))
STARTUPS = IdMap.from_ids(f"0000000{n}-0000-4000-8000-000000000000" for n in range(4))


def held(**changes: object) -> HeldRelease:
    facets = {f: np.full(4, -1, np.int32) for f in FACETS} | {"category": np.array([0, 1, 0, -1], np.int32)}
    labels = dict.fromkeys(FACETS, ()) | {"category": ("fintech", "games")}
    table = ItemTable(STARTUPS, facets, labels, np.full(4, -1, np.int8))
    people = ItemTable(
        IdMap.from_ids([]), {f: np.zeros(0, np.int32) for f in FACETS}, dict.fromkeys(FACETS, ()), np.zeros(0, np.int8)
    )
    release = Release(
        "20240501T020000Z-3fa92c1b",
        "2024-05-01T02:00:00+00:00",
        "2024-05-01T02:10:00+00:00",
        "",
        "",
        {
            "als_v1": "20240501T020000Z-aaaaaaaa",
            "two_tower_v1": "20240501T020000Z-bbbbbbbb",
            "learned_ranker_v1": "20240501T020000Z-cccccccc",
        },
        {},
        [],
        {},
    )
    return HeldRelease(release, {Entity.STARTUP: table, Entity.USER: people}, {})


def answer(listing: StoredList, **changes: Any) -> Answer:
    return Answer(
        Surface.STARTUPS_FOR_DEVELOPER, OWNER, held(), listing, "cache", True, held().generated_at(), **changes
    )


def body(*args: Any) -> dict[str, Any]:
    return json.loads(present.body(*args))


def bits(*names: str) -> int:
    return sum(1 << REASONS[n] for n in names)


SOURCES = (ALS.bit | TWO_TOWER.bit | ITEM_NEIGHBOURS.bit, CONTENT_BASED.bit, POPULAR.bit)
LISTING = StoredList(
    Method.ENSEMBLE,
    Method.ENSEMBLE,
    registry.ranker_code("learned"),
    25,
    0,
    item=np.array([2, 0, 3], np.uint32),
    score=np.array([0.87004, 0.5, 0.0], np.float32),
    source=np.array(SOURCES, np.uint16),
    reason=packed(
        facet=np.array([-1, REASONS["category"], -1]),
        event=np.array([0, EventType.APPLY.code, 0]),
        number=np.array([0, 2, 0]),
        people_event=np.array([EventType.APPLY.code, 0, 0]),
        people=np.array([3, 0, 0]),
        source=np.array([ALS.code, CONTENT_BASED.code, POPULAR.code]),
        standing=np.array([standing_bit(Standing.NEW), standing_bit(Standing.POPULAR), 0]),
    ),
)
#: The same list in the format before rankers had codes and reasons had numbers.
OLD = replace(
    LISTING,
    ranker=1,
    reason=from_bits(np.array([bits("category", "new"), bits("category", "popular"), bits("popular")])),
)


def test_the_body_is_the_golden_one() -> None:
    found = body(answer(LISTING), Query(limit=5), 36, IDS, NOW)
    assert json.dumps(found, indent=1) + "\n" == GOLDEN_FILE.read_text()


def test_an_old_list_keeps_its_body() -> None:
    """It has at most three reasons, no name of a ranker, and a longer version."""
    found, before = body(answer(OLD), Query(limit=5), 36, IDS, NOW), json.loads(GOLDEN_FILE_1.read_text())
    for now, then in zip(found["startups"], before["startups"], strict=True):
        assert 0 < len(now["reasons"]) <= 3 and set(now["reasons"]) <= {*then["reasons"], POPULAR.reason[0]}
    assert found["model_version"].startswith(before["model_version"] + " + order/")
    assert found["reranked"] and found["ranker"] is None and found["ranker_version"] is None
    other = ("startups", "model_version")
    assert {k: v for k, v in before.items() if k not in other}.items() <= {
        k: v for k, v in found.items() if k not in other
    }.items()


def test_a_list_is_stale_from_the_stated_age_on() -> None:
    assert not body(answer(LISTING), Query(), 23.9, IDS, NOW)["stale"]
    assert body(answer(LISTING), Query(), 23.8, IDS, NOW)["stale"]


def test_an_empty_surface_says_so() -> None:
    assert body(answer(NOBODY), Query(), 36, IDS, NOW)["reason"] == "there is no startup yet that could be shown"


def test_trouble_is_shown_as_degraded() -> None:
    assert body(answer(LISTING, trouble="Redis does not answer"), Query(), 36, IDS, NOW)["degraded"] is True
