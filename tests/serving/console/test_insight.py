"""Use the page's API: search by name, explain a list, explain a missing item, compare two releases."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from models.schema import Role
from models.settings.settings import Settings
from tests.marketplace.world import World
from tests.serving.conftest import Company, Execute, Person, Publish, Start

SURFACE = "startups/for-developer"


@pytest.fixture
def client(publish: Publish, rows: str, start: Start) -> FlaskClient:
    publish()
    return start().test_client()


def why(client: FlaskClient, owner: str, item: str, surface: str = SURFACE) -> dict[str, Any]:
    answer = client.get(f"/api/explain/{surface}/{owner}?item={item}")
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def shown(client: FlaskClient, owner: str, surface: str = SURFACE) -> list[str]:
    body = client.get(f"/api/recommendations/{surface}/{owner}?limit=100").get_json()
    return [place["id"] for place in body.get("startups", body.get("users"))]


def test_an_owner_is_found_by_a_word_and_by_an_id(client: FlaskClient, execute: Execute, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    execute("UPDATE users SET name = 'Ada 100%% Lovelace' WHERE id = %s", owner)
    at = f"/api/find/{SURFACE}/owners"
    for word in ("lovelace", "LOVE", "100%", owner[:13]):
        assert [f["id"] for f in client.get(at, query_string={"q": word}).get_json()["found"]] == [owner], word
    assert client.get(at, query_string={"q": "100_"}).get_json()["found"] == []
    assert client.get("/api/find/startups/for-investor/owners?q=lovelace").get_json()["found"] == []
    assert client.get(at, query_string={"q": "a"}).get_json()["error"]["code"] == "malformed_q"


def test_a_list_is_explained_with_names_and_scores_by_model(
    client: FlaskClient, execute: Execute, person: Person
) -> None:
    owner = person(Role.DEVELOPER, 4)
    first = shown(client, owner)[0]
    execute("UPDATE startups SET name = 'Engine Works' WHERE id = %s", first)
    told = client.get(f"/api/explain/{SURFACE}/{owner}").get_json()
    assert told["known"] and told["names"][first] == "Engine Works"
    assert set(shown(client, owner)) <= set(told["names"])
    scaled = next(place for place in told["list"] if place["id"] == first)["scaled"]
    assert scaled["als"] is not None and 0 <= scaled["als"] <= 1
    stranger = client.get(f"/api/explain/{SURFACE}/3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10").get_json()
    assert stranger["known"] is False


def test_a_missing_item_is_explained(
    client: FlaskClient, execute: Execute, planted: World, person: Person, company: Company
) -> None:
    owner = person(Role.DEVELOPER, 4)
    listed = shown(client, owner)
    assert why(client, owner, listed[2]) == {**why(client, owner, listed[2]), "listed": True, "place": 3}
    assert why(client, owner, company(1))["because"] == "withdrawn"  # also if they have met
    row = int(planted.users.ids.rows_of([owner])[0])
    x = planted.interactions
    met = str(planted.startups.ids.ids[x.item[x.owner == row][0]])
    about = why(client, owner, met)
    assert str(about["because"]).startswith("they have met, ") and about["events"]
    nobody = "3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10"
    assert why(client, owner, nobody)["because"] == "the platform does not know this id"
    execute("INSERT INTO startups (id, name, created_at) VALUES (%s, 'Newborn', now())", nobody)
    about = why(client, owner, nobody)
    assert "came after this release's cutoff" in str(about["because"]) and about["names"] == {nobody: "Newborn"}
    assert "does not know this owner" in str(why(client, nobody, company(1))["because"])


def test_events_posted_since_the_build_are_explained(client: FlaskClient, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    dismissed = shown(client, owner)[0]
    event = {"event_id": "e1", "user_id": owner, "startup_id": dismissed, "type": "dismiss"}
    answer = client.post("/api/events", json={"events": [event]})
    assert answer.status_code < 300, answer.text
    assert str(why(client, owner, dismissed)["because"]).startswith("they have met since the build: dismiss on ")


def test_own_items_and_low_ranked_items_have_different_reasons(
    start: Start, publish: Publish, rows: str, settings: Settings, planted: World
) -> None:
    publish()
    client = start(settings.layered({"depth": 3}, "given")).test_client()
    startup = next(i for i, f in enumerate(planted.startups.founder) if f >= 0 and planted.startups.listed[i])
    founder = str(planted.users.ids.ids[planted.startups.founder[startup]])
    role = Role.of_code(planted.users.role[planted.startups.founder[startup]])
    surface = f"startups/for-{role}"
    assert why(client, founder, str(planted.startups.ids.ids[startup]), surface)["because"] in (
        "it is their own startup",
    )
    told = [why(client, founder, str(i), surface) for i in planted.startups.ids.ids]
    below = [about for about in told if str(about["because"]).startswith(("below the cut", "not in the stored list"))]
    cut = [about for about in below if about["because"] == "below the cut"]
    assert cut and all(a["rank"] > a["places_in_list"] > 0 and a["score"] <= a["last_score_in_list"] for a in cut)
    assert below and {"withdrawn", "it is their own startup"} < {str(about["because"]) for about in told}


def test_two_releases_are_compared(client: FlaskClient, publish: Publish, start: Start, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    before = client.get("/api/releases").get_json()["live"]
    publish(day=11, backwards=True)
    client = start().test_client()
    told = client.get("/api/releases").get_json()
    assert [r["release"] for r in told["releases"]] == [told["live"], before]
    both = client.get(f"/api/compare/{SURFACE}/{owner}?release={before}").get_json()
    places = [(i["now"], i["then"]) for i in both["items"]]
    length = max(now for now, _ in places if now)
    assert places[0] == (1, length) and both["now"] == told["live"] and both["then"] == before
    missing = client.get(f"/api/compare/{SURFACE}/{owner}?release=nonsense")
    assert missing.status_code == 400 and missing.get_json()["error"]["code"] == "unknown_release"
