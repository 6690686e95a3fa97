"""Generate the types and operations of both clients from the OpenAPI document: `make clients`.

It knows the parts of JSON schema that the document uses, and refuses others. Transport, retries and events are written
by hand, beside the generated files.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.schema import Surface
from serving.http.openapi import EVENTS, LISTS, document, operations

HERE = Path(__file__).parent
PYTHON, TYPESCRIPT = HERE / "python" / "matchbook_client", HERE / "typescript" / "src"
NOTE = "Made by `make clients` from /openapi.json: do not edit."
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Operation:
    """One request. query: name -> schema. body: name and schema of the one part of a sent body."""

    name: str
    summary: str
    method: str
    path: str
    parameters: tuple[str, ...]
    query: Mapping[str, Schema]
    body: tuple[str, Schema] | None
    result: Schema


@dataclass(frozen=True)
class Api:
    """What the clients need of a document.

    queries: by name, name -> schema of each query parameter. joined: query parameters that are separated by commas.
    """

    schemas: Mapping[str, Schema]
    operations: Sequence[Operation]
    queries: Mapping[str, Mapping[str, Schema]]
    joined: Sequence[str]

    def query_of(self, operation: Operation) -> str:
        return next(name for name, query in self.queries.items() if query == operation.query)


def api_of(described: Schema) -> Api:
    """Read the operations of lists and events, and the schemas that they need."""
    found, joined = [], set()
    for path, method, said in operations(described):
        if not {LISTS, EVENTS} & set(said["tags"]):
            continue
        given = [_resolved(described, p) for p in said.get("parameters", ())]
        query = {p["name"]: {**p["schema"], "description": p["description"]} for p in given if p["in"] == "query"}
        joined |= {p["name"] for p in given if p["in"] == "query" and not p.get("explode", True)}
        parameters = tuple(p["name"] for p in given if p["in"] == "path")
        result = next(r for status, r in said["responses"].items() if status.startswith("2"))
        found.append(
            Operation(
                said["operationId"],
                said["summary"],
                method.upper(),
                path,
                parameters,
                query,
                _body(described, said),
                _content(result),
            )
        )
    return Api(_needed(described, found), found, _queries(found), sorted(joined))


def _resolved(described: Schema, value: Schema) -> Schema:
    for step in value.get("$ref", "").split("/")[1:]:
        described = described[step]
    return described if "$ref" in value else value


def _content(said: Schema) -> Schema:
    return said["content"]["application/json"]["schema"]


def _body(described: Schema, said: Schema) -> tuple[str, Schema] | None:
    if "requestBody" not in said:
        return None
    ((name, schema),) = _resolved(described, _content(said["requestBody"]))["properties"].items()
    return name, schema


def _queries(found: Sequence[Operation]) -> dict[str, Mapping[str, Schema]]:
    """Name each set of query parameters: the usual one `Query`, another after its first operation."""
    sets = [(json.dumps(o.query), o) for o in found if o.query]
    usual = Counter(key for key, _ in sets).most_common(1)[0][0]
    first = dict(reversed(sets))
    return {"Query" if key == usual else f"{_pascal(o.name)}Query": o.query for key, o in first.items()}


def _needed(described: Schema, found: Sequence[Operation]) -> dict[str, Schema]:
    """Return the named schemas that operations and errors use, in the order of the document."""
    schemas = described["components"]["schemas"]
    wanted, new = set[str](), {"ErrorDetail", *(n for o in found for n in _named([o.result, o.query, o.body]))}
    while new:
        wanted |= new
        new = {name for n in new for name in _named(schemas[n])} - wanted
    return {name: schema for name, schema in schemas.items() if name in wanted}


def _named(value: Any) -> Iterator[str]:
    yield from re.findall(r'"#/components/schemas/(\w+)"', json.dumps(value))


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _camel(name: str) -> str:
    return name[0] + _pascal(name)[1:]


@dataclass(frozen=True)
class Language:
    """How a language writes types. literal: of enumeration values, `%s`. Others take the type of their values."""

    scalars: Mapping[str, str]
    literal: str
    separator: str
    array: str
    mapping: str
    anything: str

    def type_of(self, schema: Schema) -> str:
        """Return the type of a schema. Raises ValueError for one without a rule."""
        if "$ref" in schema:
            return str(schema["$ref"]).rpartition("/")[2]
        if values := schema.get("enum", [schema["const"]] if "const" in schema else None):
            written = self.literal % self.separator.join(json.dumps(v) for v in values if v is not None)
            return self._or_null(written, None in values)
        kinds = [schema["type"]] if isinstance(schema.get("type"), str) else list(schema.get("type", ()))
        (kind,) = (k for k in kinds if k != "null")
        return self._or_null(self._plain(kind, schema), "null" in kinds)

    def _plain(self, kind: str, schema: Schema) -> str:
        if kind == "array":
            return self.array % self.type_of(schema["items"])
        if kind == "object" and "properties" not in schema:
            more = schema.get("additionalProperties")
            return self.mapping % (self.type_of(more) if isinstance(more, Mapping) else self.anything)
        if kind not in self.scalars:
            raise ValueError(
                f"give this schema a name in serving/http/openapi.py, or clients/generate.py a rule: {schema}"
            )
        return self.scalars[kind]

    def _or_null(self, written: str, null: bool) -> str:
        return f"{written} | {self.scalars['null']}" if null else written


_PYTHON = Language(
    {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"},
    "Literal[%s]",
    ", ",
    "Sequence[%s]",
    "Mapping[str, %s]",
    "Any",
)
_TYPESCRIPT = Language(
    {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"},
    "%s",
    " | ",
    "ReadonlyArray<%s>",
    "Readonly<Record<string, %s>>",
    "unknown",
)


def python_types(api: Api) -> str:
    """Return the text of `matchbook_client/types.py`."""
    lines = [f'"""Types of requests and answers. {NOTE}"""', "", "from __future__ import annotations", ""]
    lines += [
        "from collections.abc import Mapping, Sequence",
        "from typing import Literal, NotRequired, TypedDict, final",
        "",
    ]
    lines += ["#: Query parameters whose values are separated by commas.", f"JOINED = {tuple(api.joined)!r}", ""]
    lines += ["#: Surfaces: their lists have an owner who sees them.", f"SURFACES = {tuple(map(str, Surface))!r}", ""]
    for name, schema in api.schemas.items():
        if "properties" not in schema:
            lines += [f"{name} = {_PYTHON.type_of(schema)}"]
            lines += [f'"""{_sentence(about)}"""' for about in [schema.get("description", "")] if about]
            continue
        lines += ["", "", "@final", f"class {name}(TypedDict):"]
        for key, of in schema["properties"].items():
            written = _PYTHON.type_of(of)
            lines += [f"    {key}: {written if key in schema['required'] else f'NotRequired[{written}]'}"]
            lines += [f'    """{_sentence(of["description"])}"""'] if "description" in of else []
    for name, query in api.queries.items():
        lines += ["", "", f"class {name}(TypedDict, total=False):"]
        for key, of in query.items():
            lines += [f"    {key}: {_PYTHON.type_of(of)}", f'    """{_sentence(of["description"])}"""']
    return _formatted("\n".join(lines) + "\n")


def python_operations(api: Api) -> str:
    """Return the text of `matchbook_client/operations.py`."""
    lines = [f'"""One method for each request. {NOTE}"""', "", "from __future__ import annotations", ""]
    lines += ["from collections.abc import Sequence", "from typing import Unpack", ""]
    used = sorted({n for o in api.operations for n in _named([o.result, o.body])} | set(api.queries))
    lines += ["from matchbook_client.transport import Transport, quoted"]
    lines += [f"from matchbook_client.types import {', '.join(used)}"]
    lines += ["", "", "class Matchbook(Transport):", '    """A client of one reader. Threads may share it."""', ""]
    for o in api.operations:
        given = ["self", *(f"{p}: str" for p in o.parameters)]
        given += [f"{o.body[0]}: {_PYTHON.type_of(o.body[1])}"] if o.body else []
        given += [f"**query: Unpack[{api.query_of(o)}]"] if o.query else []
        path = re.sub(r"\{(\w+)\}", r"{quoted(\1)}", o.path)
        sent = [f'"{o.method}"', f'{"f" if o.parameters else ""}"{path}"']
        sent += ["query" if o.query else "{}"] if o.query or o.body else []
        sent += [f'{{"{o.body[0]}": {o.body[0]}}}'] if o.body else []
        result = _PYTHON.type_of(o.result)
        lines += [f"    def {o.name}({', '.join(given)}) -> {result}:", f'        """{_sentence(o.summary)}"""']
        lines += [f"        found: {result} = self.send({', '.join(sent)})", "        return found", ""]
    return _formatted("\n".join(lines))


def typescript_types(api: Api) -> str:
    """Return the text of `src/types.ts`."""
    lines = [f"// Types of requests and answers. {NOTE}", ""]
    lines += ["/** Query parameters whose values are separated by commas. */"]
    lines += [f"export const JOINED: readonly string[] = {json.dumps(list(api.joined))};"]
    lines += ["", "/** Surfaces: their lists have an owner who sees them. */"]
    lines += [f"export const SURFACES: readonly string[] = {json.dumps(list(Surface))};"]
    for name, schema in api.schemas.items():
        lines += ["", *_comment(schema, "")]
        if "properties" not in schema:
            lines += [f"export type {name} = {_TYPESCRIPT.type_of(schema)};"]
            continue
        lines += [f"export interface {name} {{"]
        for key, of in schema["properties"].items():
            optional = "" if key in schema["required"] else "?"
            lines += [*_comment(of, "  "), f"  {key}{optional}: {_TYPESCRIPT.type_of(of)};"]
        lines += ["}"]
    for name, query in api.queries.items():
        lines += ["", f"export interface {name} {{"]
        lines += [
            line for key, of in query.items() for line in (*_comment(of, "  "), f"  {key}?: {_TYPESCRIPT.type_of(of)};")
        ]
        lines += ["}"]
    return "\n".join(lines) + "\n"


def typescript_operations(api: Api) -> str:
    """Return the text of `src/operations.ts`."""
    used = sorted({n for o in api.operations for n in _named([o.result, o.body])} | set(api.queries))
    lines = [f"// One method for each request. {NOTE}", "", 'import { Transport } from "./transport.js";']
    lines += [f'import type {{ {", ".join(used)} }} from "./types.js";', ""]
    lines += ["/** A client of one reader. */", "export class Matchbook extends Transport {"]
    for o in api.operations:
        given = [f"{p}: string" for p in o.parameters]
        given += [f"{o.body[0]}: {_TYPESCRIPT.type_of(o.body[1])}"] if o.body else []
        given += [f"query: {api.query_of(o)} = {{}}"] if o.query else []
        path = re.sub(r"\{(\w+)\}", r"${encodeURIComponent(\1)}", o.path)
        sent = [f'"{o.method}"', f"`{path}`" if o.parameters else f'"{path}"']
        sent += ["query" if o.query else "{}"] if o.query or o.body else []
        sent += [f"{{ {o.body[0]} }}"] if o.body else []
        lines += [f"  /** {_sentence(o.summary)} */"]
        lines += [f"  {_camel(o.name)}({', '.join(given)}): Promise<{_TYPESCRIPT.type_of(o.result)}> {{"]
        lines += [f"    return this.send({', '.join(sent)});", "  }", ""]
    return "\n".join(lines[:-1]) + "\n}\n"


def _comment(schema: Schema, indent: str) -> list[str]:
    return [f"{indent}/** {_sentence(schema['description'])} */"] if "description" in schema else []


def _sentence(text: str) -> str:
    """Return a text of the document as a sentence. A path at its begin keeps its case."""
    first, _, _ = text.partition(" ")
    return f"{text if '/' in first else text[:1].upper() + text[1:]}."


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(PYTHON / "types.py"), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=HERE.parent).stdout


def no_console(*_: object) -> dict[str, Any]:
    """Leave out the paths of the console: the clients have none."""
    return {}


def files(described: Schema) -> dict[Path, str]:
    """Return the text of each generated file."""
    api = api_of(described)
    return {
        PYTHON / "types.py": python_types(api),
        PYTHON / "operations.py": python_operations(api),
        TYPESCRIPT / "types.ts": typescript_types(api),
        TYPESCRIPT / "operations.ts": typescript_operations(api),
    }


if __name__ == "__main__":
    for path, text in files(document(no_console)).items():
        path.write_text(text)
