"""The reasons of an item as text: at most three, the most specific first.

The order is: what people with a similar history did with the item; the facet that links it most to the owner's history;
the source that ranks it highest; its own standing. The texts are in `Source.counted`, `Facet.reason`, `Source.reason`
and `Standing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.lists.reasons import NUMBER_MOST, facet_of, people_of, source_of, standings_of
from models.schema import FACET_REASONS, REASONS, EventType, Similar, Standing

#: Most reasons of an item.
MOST = 3
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NOUNS = (("startup", "startups"), ("person", "people"))
#: Voices of similar lists, whose facet is one that both have.
_ALIKE = tuple(kind.voice for kind in Similar)
_ENGAGED = ("startups you engaged with", "people who engaged with your startup")
#: The bits of a reason: for the facet, for the people, and the mark of an old reason.
FACET, PEOPLE, OLD = (1 << 14) - 1, (1 << 24) - (1 << 14), 1 << 31


def sentences(
    reason: int,
    source: int,
    voice: int,
    row: int,
    facets: Mapping[str, NDArray[np.int32]],
    labels: Mapping[str, tuple[str, ...]],
) -> list[str]:
    """Return the reasons of one list position.

    reason, source: its bits. voice: see `ListKind`. row, facets, labels: of the item, see `ItemTable`.
    """
    people, facet, rest = _parts(reason, source, voice)
    shared = [
        f"{before}{labels[name][code]}{after}" for name, before, after in facet if (code := facets[name][row]) >= 0
    ]
    return [*people, *shared, *rest][:MOST]


_Parts = tuple[list[str], list[tuple[str, str, str]], list[str]]


def _parts(reason: int, source: int, voice: int) -> _Parts:
    """Return people's reason, the facet with the text around its value, and the remaining reasons.

    Each is cached by its own bits, because their combinations are many.
    """
    if reason & OLD:
        return _old(reason, source, voice)
    people, facet = reason & PEOPLE, reason & FACET
    return (
        people_words(people, voice) if people else [],
        facet_words(facet, voice) if facet else [],
        rest_words(reason >> 24 << 24, source, people > 0, voice),
    )


@lru_cache(maxsize=4096)
def people_words(reason: int, voice: int) -> list[str]:
    """Return what people with a similar history did, from the bits PEOPLE; empty if nothing."""
    event, number = people_of(reason)
    done, said = _done(event), [text for s in registry.sources() if (text := s.said_counted(voice))]
    return [one.format(n=_number(number), done=done) for one in said[:1] if done and number]


@lru_cache(maxsize=4096)
def facet_words(reason: int, voice: int) -> list[tuple[str, str, str]]:
    """Return the facet, from the bits FACET, and the text before and after its value; empty if none."""
    code, event, number = facet_of(reason)
    name = {REASONS[name]: name for name in FACET_REASONS}.get(code)
    if name and number and voice in _ALIKE:
        return [(name, f"the same {name}: ", "")]
    done, noun = _done(event), _NOUNS[voice % 2][number != 1]
    if not (name and done and number):
        return []
    what = f"{_number(number)} {FACET_REASONS[name].replace('{noun}', noun)}"
    said = f"{what} {done} your startup" if voice else f"you {done} {what}"
    before, _, after = said.partition("{label}")
    return [(name, before, after)]


@lru_cache(maxsize=4096)
def rest_words(reason: int, source: int, counted: bool, voice: int) -> list[str]:
    """Return the reason of the source, unless its count is already given, and of the item's standing."""
    there = (s for s in registry.sources() if s.code == source_of(reason) and s.bit & source)
    first = [s.said(voice) for s in there if not (counted and s.said_counted(voice))]
    return [text for text in first if text] + [s.words[voice % 2] for s in standings_of(reason)]


@lru_cache(maxsize=4096)
def _old(reason: int, source: int, voice: int) -> _Parts:
    """Return the parts of an old reason: one facet, one source, and the item's standing."""
    shared = [name for name in FACET_REASONS if reason >> REASONS[name] & 1]
    there = [s.said(voice) for s in registry.sources() if s.bit & source]
    standing = [s.words[voice % 2] for s in Standing if reason >> s.code & 1]
    return [], [(name, f"same {name} as {_ENGAGED[voice % 2]}: ", "") for name in shared[:1]], there[:1] + standing


def _done(code: int) -> str:
    """Return the verb of an event type; empty for an undeclared type, such as one of a newer version."""
    kind = EventType.by_code().get(code)
    return kind.done if kind else ""


def _number(n: int) -> str:
    if n >= NUMBER_MOST:
        return f"more than {NUMBER_MOST - 1}"
    return _NUMBERS[n] if n < len(_NUMBERS) else str(n)
