"""Declared codes are stable: no code counts positions, and a gap in the codes changes nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.data.interactions import EVENT_WEIGHTS, EXPLICIT
from models.lists.redis_format import OWN
from models.schema import (
    FACET_REASONS,
    FACETS,
    FILTERS,
    INTERACTION_TYPES,
    REASONS,
    TABLE_OF,
    TABLES,
    Coded,
    EventType,
    FieldType,
    Method,
    Role,
    Segment,
    Standing,
    Surface,
    words_by_code,
)
from pipelines.export.layout import FORMAT
from pipelines.export.snapshot import codes_of
from tests.paths import ROOT

CODED = {e.__name__ for e in (Surface, Method, Segment, Role, EventType, Standing)}


class Gapped(Coded):
    FIRST = "first", 2
    SECOND = "second", 0
    THIRD = "third", 5


def sources() -> Iterator[Path]:
    for folder in ("models", "pipelines", "serving", "dags", "benchmarks", "tests"):
        yield from (ROOT / folder).rglob("*.py")


def positions(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that count members of a coded enum.

    Examples: `tuple(Method)[i]`, `list(Role).index(…)`, `enumerate(Surface)`, `range(len(EventType))`,
    `pd.Categorical(…).codes`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.value, ast.Call):
            call, name = node.value, getattr(node, "attr", "[]")
            made = isinstance(call.func, ast.Name) and call.func.id in ("tuple", "list") and _of_coded(call)
            category = isinstance(call.func, ast.Attribute) and call.func.attr == "Categorical" and name == "codes"
            if (made and name in ("[]", "index")) or category:
                yield node.lineno
        if isinstance(node, ast.Call) and _named(node.func, "enumerate") and _of_coded(node):
            yield node.lineno
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in SIZED:
            inner = [n for a in (*node.args, *(k.value for k in node.keywords)) for n in ast.walk(a)]
            if any(isinstance(n, ast.Call) and _named(n.func, "len") and _of_coded(n) for n in inner):
                yield node.lineno


#: Arguments that may be a length: of an array, a count of codes, a range of positions.
SIZED = {"arange", "bincount", "range", "zeros", "ones", "full"}


def _named(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _of_coded(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Name) and call.args[0].id in CODED


def test_no_place_counts_positions() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}" for path in sources() for line in positions(ast.parse(path.read_text()))
    ]
    assert not found, f"positions instead of codes: {', '.join(found)}"


@pytest.mark.parametrize(
    "line",
    [
        "tuple(Method)[i]",
        "list(Role).index(role)",
        "enumerate(Surface)",
        "np.arange(len(EventType))",
        "np.bincount(x, minlength=len(Method))",
        "pd.Categorical(x, categories=y).codes",
    ],
)
def test_positions_are_found(line: str) -> None:
    assert list(positions(ast.parse(line))) == [1]


def test_every_code_stands_once_and_fits_its_cell() -> None:
    for enum in (Surface, Method, Segment, Role, EventType):
        codes = [m.code for m in enum]
        assert len(set(codes)) == len(codes) and min(codes) >= 0 and max(codes) < 128, enum.__name__
    assert OWN not in EventType.by_code()


def test_a_surface_says_its_owner_and_role() -> None:
    assert len({(s.owner, s.role) for s in Surface}) == len(Surface) == 4
    for surface in Surface:
        assert surface.value.startswith("startups/") == (surface.owner.value == "user")
        assert surface.role.value in surface.value


def test_a_gap_in_the_codes_changes_nothing() -> None:
    assert Gapped.codes() == 6 and list(Gapped.by_code()) == [0, 2, 5]
    assert [Gapped.of_code(c) for c in (2, 0, 5)] == [Gapped.FIRST, Gapped.SECOND, Gapped.THIRD]
    assert words_by_code(Gapped) == ["second", "", "first", "", "", "third"]
    with pytest.raises(ValueError, match="4 is no code of Gapped"):
        Gapped.of_code(4)


def test_weights_stand_at_the_codes_of_their_types() -> None:
    assert len(EVENT_WEIGHTS) == len(EXPLICIT) == EventType.codes()
    for event_type in EventType:
        assert (
            EVENT_WEIGHTS[event_type.code] == (event_type.weight or 0)
            and EXPLICIT[event_type.code] == event_type.explicit
        )
    assert [t for t in EventType if t.weight is not None and t.weight < 0] == [EventType.DISLIKE]


def test_words_of_events_become_codes() -> None:
    words = [*(t.value for t in INTERACTION_TYPES), "", "dismiss", "share"]
    assert codes_of(pd.Series(words)).tolist() == [*(t.code for t in INTERACTION_TYPES), -1, -1, -1]
    assert codes_of(pd.Series([], dtype=str)).dtype == np.int8


def test_the_codes_of_reasons_stand_once_and_fit() -> None:
    """They fit into the bits of models/lists/reasons.py. Every facet has a code, also without a reason."""
    facets = {f.name: f.facet.code for table in TABLES for f in table.fields if f.facet}
    codes = [*facets.values(), *(s.code for s in Standing)]
    assert len(set(codes)) == len(codes), f"a code is given twice: {facets}"
    assert min(codes) >= 0 and max(facets.values()) <= 14
    assert {s.code for s in Standing} <= {5, 6, 7}
    assert all(t.code < 16 and t.trained for t in EventType if t.done)
    assert all("{label}" in reason and "{noun}" in reason for reason in FACET_REASONS.values())
    assert {name: REASONS[name] for name in FACET_REASONS} == {name: facets[name] for name in FACET_REASONS}
    assert list(FACETS) == sorted(facets, key=facets.__getitem__) and set(FILTERS) <= set(FACETS)


def test_a_field_of_both_sides_is_read_alike_on_both() -> None:
    users, startups = ({f.name: f for f in table.fields} for table in TABLE_OF.values())
    for name in users.keys() & startups.keys():
        one, other = users[name], startups[name]
        told = [(f.type, f.tokens, f.facet, f.filter) for f in (one, other)]
        assert told[0] == told[1], f"{name} is declared otherwise for users than for startups"


def test_every_field_is_declared_soundly() -> None:
    for table in TABLES:
        assert len(set(table.names)) == len(table.names), table.view
        for f in table.fields:
            assert f.facet or not f.filter, f"{table.view}.{f.name}: a filter needs a facet"
            assert f.doc and (f.snapshot is None or 1 <= f.snapshot <= FORMAT), f"{table.view}.{f.name}"
            read = f.tokens or f.facet
            assert not read or (f.type is FieldType.TEXT and f.snapshot), (
                f"{table.view}.{f.name}: models read text only"
            )
