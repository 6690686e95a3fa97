"""Facets of an entity, and what a place lies in: "Pittsburgh, PA, USA" is in "pa, usa" and in "usa"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.nouns.entities import FACETS, Entities
from models.nouns.words import folded, places

#: What affinity and momentum look at: the facets, and two coarser places made of the location's last parts.
PLACES = {"region": 2, "country": 1}
AFFINITIES = (*FACETS, *PLACES)


def there(entities: Entities) -> np.ndarray:
    """(n,) bool: known at the cutoff, as may be shown or as was met. The others come later and must not count."""
    return np.asarray(entities.listed | (entities.count > 0))


def coded(entities: Entities) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """By name of AFFINITIES: (n,) int32 codes, -1 blank or not there yet, and the folded text of each code, ascending:
    only what somebody who is there says, so that the numbers do not tell what is to come."""
    here, found = there(entities), {}
    for name in AFFINITIES:
        codes, labels = _raw(entities, name)
        codes = np.where(here, codes, -1)
        values = sorted({labels[c] for c in np.unique(codes[codes >= 0]).tolist()})
        found[name] = _in_codes_of(values, codes, labels), tuple(values)
    return found


def codes_in(values: Sequence[str], entities: Entities, name: str) -> np.ndarray:
    """(n,) int32 places in `values` of everybody's value of one of AFFINITIES, -1 where blank or not among them.

    values: as `coded` gave them, or spelled otherwise, as versions before this one stored them."""
    return _in_codes_of([_compared(name, value) for value in values], *_raw(entities, name))


def within(location: str, parts: int) -> str:
    """The last parts of a place, folded."""
    return ", ".join(places(location)[-parts:])


def _raw(entities: Entities, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes as the entities number them, and a text a code; two codes may share one."""
    facet = name if name in FACETS else "location"
    return entities.facets[facet], tuple(_compared(name, text) for text in entities.labels[facet])


def _compared(name: str, text: str) -> str:
    return folded(text) if name in FACETS else within(text, PLACES[name])


def _in_codes_of(values: Sequence[str], codes: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    place = {text: i for i, text in enumerate(values)}
    return np.array([place.get(text, -1) for text in labels] + [-1], np.int32)[codes]
