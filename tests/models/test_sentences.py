"""Write reasons in words: each source, facet and event type has its own. At most three, most specific first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import registry
from models.item_neighbours import ITEM_NEIGHBOURS
from models.lists.reasons import NUMBER_MOST, from_bits, packed, standing_bit
from models.schema import COUNTED_TYPES, FACET_REASONS, FACETS, REASONS, EventType, Standing
from models.sentences import MOST, sentences
from models.two_tower import TWO_TOWER

NAMES = ("facet", "event", "number", "people_event", "people", "source", "standing")
FACET_COLUMNS, LABELS = {f: np.zeros(1, np.int32) for f in FACETS}, {f: (f"{{{f}}} & co",) for f in FACETS}
EVERY_SOURCE = sum(s.bit for s in registry.sources())
SIDES = pytest.mark.parametrize("founders", [False, True])


def told(founders: bool, bits: int = EVERY_SOURCE, **columns: Any) -> list[str]:
    values = {"facet": -1, "source": TWO_TOWER.code} | columns
    reason = packed(*(np.array([values.get(name, 0)]) for name in NAMES))
    return sentences(int(reason[0]), bits, founders, 0, FACET_COLUMNS, LABELS)


@SIDES
def test_every_source_has_a_reason_of_its_own(founders: bool) -> None:
    assert all(told(founders, source=s.code) == [s.reason[founders]] for s in registry.sources())
    assert all(s.reason[founders] for s in registry.sources())
    assert told(founders, TWO_TOWER.bit) and not told(founders, 0)
    assert sum(any(s.counted) for s in registry.sources()) <= 1, "there is room for the numbers of one source"


@SIDES
def test_every_facet_counts_every_type_of_event(founders: bool) -> None:
    for name in FACET_REASONS:
        for kind in COUNTED_TYPES:
            one, two, many = (
                told(founders, facet=REASONS[name], event=kind.code, number=n)[0] for n in (1, 2, NUMBER_MOST + 9)
            )
            assert all(f"{{{name}}} & co" in said and kind.done in said for said in (one, two, many))
            assert ("person" if founders else "startup") in one and ("people" if founders else "startups") in two
            assert " one " in f" {one}" and "two" in two and f"more than {NUMBER_MOST - 1}" in many


def test_by_hand() -> None:
    apply = EventType.APPLY.code
    assert (
        told(False, facet=REASONS["category"], event=apply, number=2)[0]
        == "you applied to two {category} & co startups"
    )
    assert told(True, facet=REASONS["location"], event=apply, number=1)[0] == (
        "one person in {location} & co applied to your startup"
    )
    assert told(False, people=12, people_event=apply)[0] == "12 people with your history applied to this startup"
    assert told(True, people=3, people_event=EventType.LIKE.code) == told(True)  # it would show what one person did


@SIDES
def test_the_most_specific_comes_first(founders: bool) -> None:
    """The order is people, facet, source, market state. A source with a count is not named again."""
    everything = {"facet": 0, "number": 2, "people": 4, "standing": standing_bit(Standing.NEW)}
    facet, source = told(founders, **everything)[-3 if founders else -2 :][:2]
    assert "two" in facet and source == TWO_TOWER.reason[founders]
    if founders:
        assert told(founders, **everything)[2] == Standing.NEW.words[founders]
    else:
        assert "four" in told(founders, **everything)[0]
        assert told(founders, **everything | {"source": ITEM_NEIGHBOURS.code})[2] == Standing.NEW.words[founders]
    standing = sum(standing_bit(s) for s in Standing)
    assert told(founders, standing=standing) == [source, *(s.words[founders] for s in Standing)]


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.booleans(), st.booleans())
def test_any_bits_give_at_most_three_different_sentences(reason: int, source: int, founders: bool, blank: bool) -> None:
    """Also for undeclared codes of a newer version, and for a facet that the item does not have."""
    facets = {f: np.full(1, -1 if blank else 0, np.int32) for f in FACETS}
    found = sentences(reason, source, founders, 0, facets, dict.fromkeys(FACETS, ()) if blank else LABELS)
    assert len(found) <= MOST and len(set(found)) == len(found) and all(found)


@SIDES
@given(bits=st.integers(0, 2**7 - 1), source=st.integers(0, EVERY_SOURCE))
def test_an_old_place_keeps_at_most_three_reasons(founders: bool, bits: int, source: int) -> None:
    reason = int(from_bits(np.array([bits]))[0])
    found = sentences(reason, source, founders, 0, FACET_COLUMNS, LABELS)
    engaged = ("startups you engaged with", "people who engaged with your startup")[founders]
    said = {f"same {f} as {engaged}: {{{f}}} & co" for f in FACET_REASONS}
    said |= {s.reason[founders] for s in registry.sources()} | {s.words[founders] for s in Standing}
    assert len(found) <= MOST and set(found) <= said and bool(found) == bool(bits or source & EVERY_SOURCE)
    shared = any(bits >> REASONS[f] & 1 for f in FACET_REASONS)
    assert found[0].startswith("same ") == shared if found else not shared
