"""The OpenAPI document covers every route and matches real answers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import jsonschema

from models.schema import LIST_KINDS, Role, Surface
from serving.http.callers import PAGES
from serving.http.openapi import operations
from tests.serving.conftest import Publish, Start


def test_every_route_is_described_and_every_description_is_a_route(start: Start) -> None:
    app = start()
    described = app.test_client().get("/openapi.json").get_json()
    routes = {
        (r.rule.replace("<owner>", "{owner}"), m.lower())
        for r in app.url_map.iter_rules()
        if not r.endpoint.startswith(f"{PAGES}.")  # pages are for people
        for m in (r.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, operations in described["paths"].items() for method in operations} == routes


def test_every_reference_leads_somewhere(start: Start) -> None:
    described = start().test_client().get("/openapi.json").get_json()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [value["$ref"]] if "$ref" in value else [r for v in value.values() for r in references(v)]
        return [r for v in value for r in references(v)] if isinstance(value, list) else []

    for reference in references(described):
        place = described
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_real_answers_are_as_described(
    start: Start, publish: Publish, rows: str, person: Callable[[Role, int], str], company: Callable[[int], str]
) -> None:
    client = start().test_client()
    described = client.get("/openapi.json").get_json()

    def check(method: str, template: str, path: str, **options: Any) -> None:
        answer = client.open(path, method=method, **options)
        said = described["paths"][template][method.lower()]["responses"][str(answer.status_code)]
        if "$ref" in said:
            said = described["components"]["responses"][said["$ref"].rpartition("/")[2]]
        schema = said["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator(schema | {"components": described["components"]}).validate(answer.get_json())

    for released in (False, True):
        if released:
            publish()
            client = start().test_client()
        for kind in LIST_KINDS:
            at = f"/api/recommendations/{kind}"
            mine = company(4) if kind.owner == "startup" else person(kind.roles[0], 4)
            for owner in (mine, str(uuid.uuid4()), company(4), person(Role.INVESTOR, 0), "nonsense"):
                check("GET", f"{at}/{{owner}}", f"{at}/{owner}")
            check("POST", f"{at}/many", f"{at}/many", json={"ids": [mine, str(uuid.uuid4())]})
            check("POST", f"{at}/many", f"{at}/many", data="{", content_type="text/plain")
        for surface in Surface:
            at = f"/api/recommendations/{surface}"
            mine = company(4) if surface.owner == "startup" else person(surface.role, 4)
            check("GET", f"{at}/popular", f"{at}/popular?limit=3&category=games")
            check("GET", f"{at}/trending", f"{at}/trending?offset=5")
            check("GET", f"{at}/{{owner}}/because", f"{at}/{mine}/because")
        event = {"event_id": str(uuid.uuid4()), "user_id": person(Role.INVESTOR, 4), "startup_id": company(4)}
        for done in ("apply", "nonsense"):
            check("POST", "/api/events", "/api/events", json={"events": [event | {"type": done}]})
        check("GET", "/health", "/health")
        check("GET", "/health/ready", "/health/ready")
        check("GET", "/health/live", "/health/live")


def test_operations_have_unique_ids_and_declared_tags_and_examples_are_valid(start: Start) -> None:
    """What generators of clients need (clients/)."""
    described = start().test_client().get("/openapi.json").get_json()
    found = [operation for _, _, operation in operations(described)]
    ids = [operation["operationId"] for operation in found]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z][a-z0-9_]*", i) for i in ids), ids
    assert {"startups_for_developer", "startups_for_developer_popular", "investors_for_startup_many"} <= set(ids)
    assert {tag for operation in found for tag in operation["tags"]} == {tag["name"] for tag in described["tags"]}
    given = [
        (name, e) for name, schema in described["components"]["schemas"].items() for e in schema.get("examples", ())
    ]
    assert {name for name, _ in given} >= {"Item", "Event"}
    for name, example in given:
        schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        jsonschema.Draft202012Validator(schema).validate(example)
