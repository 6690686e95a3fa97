"""The clients' generated files are those of the reader's document."""

from __future__ import annotations

import json
import tomllib

import pytest

from clients.generate import _PYTHON, _TYPESCRIPT, api_of, files, no_console
from serving.console.json_routes import paths as json_paths
from serving.http.openapi import document
from tests.paths import ROOT
from tests.serving.conftest import Start


def test_the_generated_files_are_those_of_the_document(start: Start) -> None:
    """The reader sends its keys in another order, which would be the order of fields."""
    described = document(json_paths, asks_for_keys=False)
    assert start().test_client().get("/openapi.json").get_json() == described
    for path, text in files(document(no_console)).items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is stale: run `make clients` and commit it"


def test_every_list_and_event_operation_has_a_method_in_both_languages() -> None:
    described = document(no_console)
    texts = {path.name: text for path, text in files(described).items()}
    wanted = [o for said in described["paths"].values() for o in said.values() if {"lists", "events"} & set(o["tags"])]
    assert len(wanted) == len(api_of(described).operations) > 16
    for operation in wanted:
        first, *words = operation["operationId"].split("_")
        assert f"def {operation['operationId']}(" in texts["operations.py"]
        assert f"  {first}{''.join(word.capitalize() for word in words)}(" in texts["operations.ts"]


def test_other_query_parameters_than_the_usual_get_a_type_of_their_own() -> None:
    described = document(no_console)
    said = described["paths"]["/api/recommendations/startups/for-developer/popular"]["get"]
    role = {"name": "role", "in": "query", "schema": {"enum": ["developer", "investor"]}, "description": "whose"}
    said["parameters"] = [*said["parameters"], role]
    api = api_of(described)
    assert set(api.queries) - set(api_of(document(no_console)).queries) == {"StartupsForDeveloperPopularQuery"}
    assert "role" in api.queries["StartupsForDeveloperPopularQuery"] and "role" not in api.queries["Query"]


@pytest.mark.parametrize(
    ("schema", "python", "typescript"),
    [
        ({"type": ["string", "null"]}, "str | None", "string | null"),
        ({"enum": ["a", None]}, 'Literal["a"] | None', '"a" | null'),
        ({"const": True}, "Literal[true]", "true"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, 'Sequence[Literal["a", "b"]]', 'ReadonlyArray<"a" | "b">'),
        ({"type": "object"}, "Mapping[str, Any]", "Readonly<Record<string, unknown>>"),
    ],
)
def test_schemas_become_types(schema: dict[str, object], python: str, typescript: str) -> None:
    assert _TYPESCRIPT.type_of(schema) == typescript
    if "const" not in schema:
        assert _PYTHON.type_of(schema) == python


def test_a_schema_without_a_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="give this schema a name"):
        _PYTHON.type_of({"type": "object", "properties": {"a": {"type": "string"}}})


def test_the_packages_have_the_version_of_matchbook() -> None:
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    python = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"]["version"]
    typescript = json.loads((ROOT / "clients" / "typescript" / "package.json").read_text())["version"]
    assert python == typescript == ours
