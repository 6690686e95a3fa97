"""What a caller may ask: ids and query parameters, checked in one place; anything malformed is a RequestError."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from models.errors import RequestError
from models.nouns.entities import FACETS
from models.nouns.id_map import is_id
from models.nouns.words import folded

LIMIT_DEFAULT, LIMIT_MOST = 10, 100
OFFSET_MOST = 10_000
EXCLUDE_MOST = 200
OWNERS_MOST = 100
DEEP_MOST = 8  # levels of a JSON body: nothing that is asked for has more than three
_NUMBER = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class Query:
    """Which places of a list are wanted. facets: by facet the wanted values, folded; several mean any of them."""

    limit: int = LIMIT_DEFAULT
    offset: int = 0
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()

    @property
    def filtered(self) -> bool:
        """Whether some places of the stored list may be left out."""
        return bool(self.facets or self.exclude)


def read_query(given: MultiDict[str, str]) -> Query:
    """The query parameters of a request. Raises RequestError; parameters that mean nothing here are ignored."""
    if not given:
        return Query()
    facets = {f: tuple(v for v in map(folded, given.getlist(f)) if v) for f in FACETS if f in given}
    return Query(
        _number(given, "limit", LIMIT_DEFAULT, 1, LIMIT_MOST),
        _number(given, "offset", 0, 0, OFFSET_MOST),
        {f: values for f, values in facets.items() if values},
        _exclude(given.get("exclude", "")),
    )


def read_json(text: bytes) -> Any:
    """A JSON value; None for what is none, has NaN or Infinity in it, or is nested more than DEEP_MOST levels."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    level = [found]
    for _ in range(DEEP_MOST):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return None if level else found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def read_id(text: str, what: str = "id") -> str:
    """A UUID in its canonical form, lower case. Raises RequestError."""
    if not is_id(text):
        raise RequestError(
            "malformed_id",
            f"{what}: a UUID such as 3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10",
            text,
            "send the platform's id of the user or startup, with its four dashes",
        )
    return text.lower()


def read_owners(body: Any) -> list[str]:
    """The ids of `POST …/many`, in order, each once. Raises RequestError."""
    ids = body.get("ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not 1 <= len(ids) <= OWNERS_MOST or not all(isinstance(i, str) for i in ids):
        got = f"{len(ids)} ids" if isinstance(ids, list) else type(body).__name__
        raise RequestError(
            "malformed_body",
            f'JSON {{"ids": [...]}} with 1 to {OWNERS_MOST} ids',
            got,
            "send Content-Type: application/json and split longer lists over several requests",
        )
    return list(dict.fromkeys(read_id(i, "ids") for i in ids))


def _number(given: MultiDict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise RequestError(
            f"malformed_{name}", f"{name}: a whole number from {low} to {high}", text, f"leave it out for {default}"
        )
    return int(text)


def _exclude(text: str) -> frozenset[str]:
    ids = [part.strip() for part in text.split(",") if part.strip()]
    if len(ids) > EXCLUDE_MOST:
        raise RequestError(
            "malformed_exclude",
            f"exclude: at most {EXCLUDE_MOST} ids",
            f"{len(ids)} ids",
            "page with offset instead of excluding what was shown",
        )
    return frozenset(read_id(i, "exclude") for i in ids)
