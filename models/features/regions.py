"""Facets of an entity, and what a place lies in: "Pittsburgh, PA, USA" is in "pa, usa" and in "usa"."""

from __future__ import annotations

import numpy as np

from models.nouns.entities import FACETS, Entities

#: What affinity and momentum look at: the facets, and two coarser places made of the location's last parts.
PLACES = {"region": 2, "country": 1}
AFFINITIES = (*FACETS, *PLACES)


def coded(entities: Entities) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """By name of AFFINITIES: (n,) int32 codes, -1 blank, and the text of each code."""
    found = {f: (entities.facets[f], entities.labels[f]) for f in FACETS}
    for name, parts in PLACES.items():
        found[name] = _coarser(*found["location"], parts)
    return found


def same_words(of: tuple[np.ndarray, tuple[str, ...]], other: tuple[str, ...]) -> np.ndarray:
    """(n,) int32 codes of `of` said in the codes of `other`, -1 where blank or unknown there."""
    codes, labels = of
    place = {text.casefold(): i for i, text in enumerate(other)}
    table = np.array([place.get(text.casefold(), -1) for text in labels] + [-1], np.int32)
    return table[codes]


def within(location: str, parts: int) -> str:
    """The last `parts` comma-separated parts of a place, in small letters."""
    return ", ".join(p.strip() for p in location.split(",")[-parts:]).casefold()


def _coarser(codes: np.ndarray, labels: tuple[str, ...], parts: int) -> tuple[np.ndarray, tuple[str, ...]]:
    texts = [within(text, parts) for text in labels]
    names = tuple(sorted(set(texts)))
    place = {text: i for i, text in enumerate(names)}
    table = np.array([place[text] for text in texts] + [-1], np.int32)
    return table[codes], names
