"""Read query parameters: filters, paging and exclusions. Refuse malformed ones with a clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from models.schema import Role, Surface
from tests.marketplace.world import World
from tests.serving.conftest import Person, Publish, Start, ask

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


@pytest.fixture
def app(start: Start, publish: Publish) -> Flask:
    publish()
    return start()


def ids(body: dict[str, Any]) -> list[str]:
    return [s["id"] for s in body.get("startups", body.get("users", ()))]


def test_ten_places_unless_asked_otherwise(app: Flask, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    assert len(ids(ask(app, owner))) == 10
    assert len(ids(ask(app, owner, {"limit": 1}))) == 1
    whole = ask(app, owner, {"limit": 100})
    assert (len(ids(whole)), whole["total"], whole["short"], whole["reason"]) == (20, 20, True, "the list ends here")


def test_pages_put_together_are_the_list(app: Flask, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    pages = [ask(app, owner, {"limit": 6, "offset": o}) for o in (0, 6, 12, 18, 24)]
    assert [i for p in pages for i in ids(p)] == ids(ask(app, owner, {"limit": 100}))
    assert [p["short"] for p in pages] == [False, False, False, True, True]
    assert pages[-1]["reason"] == "the list has 20 places, all before the offset"


def test_filters_are_applied_to_the_whole_stored_list_in_its_order(app: Flask, person: Person, planted: World) -> None:
    owner = person(Role.DEVELOPER, 4)
    whole = ids(ask(app, owner, {"limit": 100}))
    kind = dict(zip(planted.startups.ids.ids.tolist(), planted.startup_profiles["type"], strict=True))
    stage = dict(zip(planted.startups.ids.ids.tolist(), planted.startup_profiles["stage"], strict=True))
    assert ids(ask(app, owner, {"type": "B2B", "limit": 100})) == [i for i in whole if kind[i] == "b2b"]
    both = ask(app, owner, {"type": "b2b", "stage": "seed"})
    assert ids(both) == [i for i in whole if kind[i] == "b2b" and stage[i] == "seed"][:10]
    either = ask(app, owner, [("category", "games"), ("category", "Biotech"), ("limit", "100")])
    category = dict(zip(planted.startups.ids.ids.tolist(), planted.startup_profiles["category"], strict=True))
    assert ids(either) == [i for i in whole if category[i] in ("games", "biotech")]
    assert ids(either) != whole
    none = ask(app, owner, {"category": "submarines"})
    assert (ids(none), none["total"], none["reason"]) == ([], 0, "none of the 20 stored places passes the filters")


def test_people_can_be_filtered_by_place(app: Flask, company: Callable[[int], str], planted: World) -> None:
    body = ask(app, company(4), {"location": "basel", "limit": 100}, Surface.INVESTORS_FOR_STARTUP)
    place = dict(zip(planted.users.ids.ids.tolist(), planted.user_profiles["location"], strict=True))
    assert ids(body)
    assert {place[i] for i in ids(body)} == {"Basel"}


def test_excluded_items_are_left_out_and_the_list_moves_up(app: Flask, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    whole = ids(ask(app, owner, {"limit": 100}))
    unknown = "00000000-0000-4000-8000-000000000000"
    body = ask(app, owner, {"exclude": f"{whole[0].upper()}, {whole[2]},{unknown}", "limit": 5})
    assert ids(body) == [whole[1], *whole[3:7]]
    assert (body["total"], body["short"]) == (18, False)


ANYONE = "00000000-0000-4000-8000-000000000000"
MALFORMED = [
    {"limit": "0"},
    {"limit": "101"},
    {"limit": "ten"},
    {"limit": "-1"},
    {"limit": "1.0"},
    {"limit": ""},
    {"limit": "٣"},
    {"limit": "9" * 30},
    {"offset": "-1"},
    {"offset": "10001"},
    {"exclude": "nonsense"},
    {"exclude": "a," * 201},
]
NO_IDS = [
    "42",
    "not-a-uuid",
    "00000000000040008000000000000000",
    "{00000000-0000-4000-8000-000000000000}",
    "%00",
    "00000000-0000-4000-8000-00000000000g",
    "urn:uuid:00000000-0000-4000-8000-000000000000",
]
NO_BODIES: list[Any] = [
    None,
    [],
    {},
    {"ids": []},
    {"ids": "x"},
    {"ids": [1]},
    {"ids": ["x"]},
    {"ids": [None]},
    {"ids": [ANYONE] * 101},
]


def test_malformed_parameters_are_refused_with_an_error(app: Flask) -> None:
    for tail in (ANYONE, "popular", "trending"):
        for query in MALFORMED:
            answer = app.test_client().get(f"/api/recommendations/{SURFACE}/{tail}", query_string=query)
            error = answer.get_json()["error"]
            (name,) = query
            assert (answer.status_code, list(error)) == (400, ["code", "expected", "got", "hint"]), query
            assert name in error["expected"]
            assert error["code"] in (f"malformed_{name}", "malformed_id")


def test_malformed_ids_are_refused_with_an_error(app: Flask) -> None:
    for owner in NO_IDS:
        answer = app.test_client().get(f"/api/recommendations/{SURFACE}/{owner}")
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "malformed_id"), owner
        assert "UUID" in answer.get_json()["error"]["expected"]


def test_malformed_bodies_are_refused_with_an_error(app: Flask) -> None:
    for body in NO_BODIES:
        answer = app.test_client().post(f"/api/recommendations/{SURFACE}/many", json=body)
        assert (answer.status_code, list(answer.get_json()["error"])) == (400, ["code", "expected", "got", "hint"]), (
            body
        )


def test_a_malformed_id_among_many_is_named_by_its_place(app: Flask) -> None:
    for id, got in ((None, "null"), (7, "7"), ("x", "x"), ({"a": [True]}, '{"a": [true]}')):
        answer = app.test_client().post(f"/api/recommendations/{SURFACE}/many", json={"ids": [ANYONE, id]})
        error = answer.get_json()["error"]
        assert (error["code"], error["got"]) == ("malformed_id", got)
        assert error["expected"].startswith("ids[1]: a UUID")


def test_everything_else_is_a_json_error_too(app: Flask) -> None:
    client = app.test_client()
    found = [
        client.get("/api/recommendations/startups/for-dentist/popular"),
        client.get("/nowhere"),
        client.delete(f"/api/recommendations/{SURFACE}/popular"),
        client.post(f"/api/recommendations/{SURFACE}/many", data=b"{" * 70_000, content_type="application/json"),
    ]
    assert [a.status_code for a in found] == [404, 404, 405, 413]
    assert [list(a.get_json()["error"]) for a in found] == [["code", "expected", "got", "hint"]] * 4


def test_a_defect_shows_no_stack_trace(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("an internal secret")

    monkeypatch.setattr(app.extensions["matchbook"].lists, "popular", broken)
    answer = app.test_client().get(f"/api/recommendations/{SURFACE}/popular")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert any("an internal secret" in r.message and r.exc_info for r in caplog.records)
