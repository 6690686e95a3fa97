"""Both packages make events from lists that have an owner who sees them, and ask who saw a similar list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matchbook_client import event, impressions

from models.schema import Entity, ListKind, Similar, Surface
from tests.clients.conftest import NODE, run

Made = list[tuple[str, str]]
_PROGRAM = """
import { impressions, event } from "matchbook-client";
const [answer, seen] = JSON.parse(process.argv[1]);
try {
  const made = [...impressions(answer, "owner", seen), event("click", answer, "owner", "item", seen)];
  console.log(JSON.stringify(made.map((e) => [e.user_id, e.startup_id])));
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.log(JSON.stringify(error.message));
}
"""


def made_by_python(answer: Any, seen: dict[str, Any]) -> Made | str:
    try:
        made = [*impressions(answer, "owner", **seen), event("click", answer, "owner", "item", **seen)]
    except ValueError as error:
        return str(error)
    return [(e["user_id"], e["startup_id"]) for e in made]


@pytest.fixture(params=["python", "typescript"])
def made(request: pytest.FixtureRequest) -> Any:
    if request.param == "python":
        return made_by_python
    folder: Path = request.getfixturevalue("typescript_package")

    def by_node(answer: Any, seen: dict[str, str]) -> Made | str:
        program: list[str | Path] = [NODE, "--input-type=module", "-e", _PROGRAM, "--", json.dumps([answer, seen])]
        found = json.loads(run(program, folder))
        return found if isinstance(found, str) else [tuple(pair) for pair in found]

    return by_node


def answer_of(kind: ListKind, *items: str) -> dict[str, Any]:
    return {f"{kind.item}s": [{"id": i} for i in items], "surface": kind.value, "answer_id": None}


def test_a_surface_puts_its_owner_on_the_right_side(made: Any) -> None:
    for surface in Surface:
        pair = ("owner", "item") if surface.owner is Entity.USER else ("item", "owner")
        assert made(answer_of(surface, "item"), {}) == [pair, pair]


def test_a_similar_list_needs_who_saw_it_even_if_it_is_empty(made: Any) -> None:
    """Its owner is a startup, or a person without a startup: the reader would take either for the other side."""
    for kind in Similar:
        for items in ((), ("item",)):
            said = made(answer_of(kind, *items), {})
            assert f"got a list of {kind};" in said and "name the user who saw similar startups" in said
            assert all(surface in said for surface in Surface)


def test_who_saw_a_similar_list_is_on_the_other_side_than_its_items(made: Any) -> None:
    assert made(answer_of(Similar.STARTUPS, "item"), {"user": "ada"}) == [("ada", "item")] * 2
    assert made(answer_of(Similar.USERS, "item"), {"startup": "acme"}) == [("item", "acme")] * 2


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (Similar.USERS, {"user": "bob"}),
        (Similar.STARTUPS, {"startup": "acme"}),
        (Surface.STARTUPS_FOR_INVESTOR, {"user": "bob"}),
    ],
)
def test_who_saw_it_is_refused_on_the_side_of_the_items_and_of_a_surface(
    made: Any, kind: ListKind, seen: dict[str, str]
) -> None:
    assert f"got a list of {kind} and {next(iter(seen))};" in made(answer_of(kind, "item"), seen)
