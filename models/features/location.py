"""Matches the locations of owner and item: whole, region, country.

Places are compared by part ("Pittsburgh", "PA", "USA"), so that the profile text of unseen owners can be compared, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Owners
from models.data.columns import Column
from models.data.entities import Entities
from models.schema import FACETS
from models.words import folded, places

#: Inputs of affinity and momentum: facets, and two coarser places of this many last parts of the location.
PLACES = {"region": 2, "country": 1}
AFFINITIES = (*FACETS, *PLACES)


def there(entities: Entities) -> NDArray[np.bool_]:
    """Return (n,) bool: listed or with interactions, so known at the cutoff."""
    return np.asarray(entities.listed | (entities.count > 0))


def coded(entities: Entities) -> dict[str, tuple[NDArray[np.int32], tuple[str, ...]]]:
    """Return for each of AFFINITIES (n,) codes, -1 blank, and the folded text of each code, ascending.

    Only values of entities known at the cutoff get a code, so that codes do not leak the future.
    """
    here, found = there(entities), {}
    for name in AFFINITIES:
        codes, labels = _raw(entities, name)
        codes = np.where(here, codes, -1)
        values = sorted({labels[c] for c in np.unique(codes[codes >= 0]).tolist()})
        found[name] = _in_codes_of(values, codes, labels), tuple(values)
    return found


def codes_in(values: Sequence[str], entities: Entities, name: str) -> NDArray[np.int32]:
    """Return (n,) index in `values` of each entity's value, -1 if blank or missing.

    name: one of AFFINITIES. values: from `coded`, or in the text form of an older version.
    """
    return _in_codes_of([_compared(name, value) for value in values], *_raw(entities, name))


def within(location: str, parts: int) -> str:
    """Return the last parts of a place, folded."""
    return ", ".join(places(location)[-parts:])


def _raw(entities: Entities, name: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return the entities' codes and the compared text of each code. Codes may share a text."""
    facet = name if name in FACETS else "location"
    return entities.facets[facet], tuple(_compared(name, text) for text in entities.labels[facet])


def _compared(name: str, text: str) -> str:
    return folded(text) if name in FACETS else within(text, PLACES[name])


def _in_codes_of(values: Sequence[str], codes: NDArray[np.int32], labels: Sequence[str]) -> NDArray[np.int32]:
    place = {text: i for i, text in enumerate(values)}
    return np.array([place.get(text, -1) for text in labels] + [-1], np.int32)[codes]


#: Number of last parts of an item's location that the owner must share; 0: all.
LEVELS = {"location": 0, **PLACES}


@dataclass(frozen=True, eq=False)
class LocationMatch:
    """The parts of the locations of owners and items.

    part: index of each known part. owner_code: (owners,) location code, the last is blank.
    owner_parts: (labels + 1, parts) csr of the owners' locations. item_code: (m,) location code, the last is blank.
    levels: by name, (labels + 1, parts) csr of the parts that an owner must share, and their number.
    """

    part: dict[str, int]
    owner_code: NDArray[np.int32]
    owner_parts: sparse.csr_matrix
    item_code: NDArray[np.int32]
    levels: dict[str, tuple[sparse.csr_matrix, NDArray[np.int64]]]

    @classmethod
    def from_entities(cls, owners: Entities, items: Entities, catalogue: NDArray[np.integer[Any]]) -> LocationMatch:
        labels = items.labels["location"]
        parts = [_parts(text) for text in labels]
        part = {p: i for i, p in enumerate(sorted({p for row in parts for p in row}))}
        wanted = {name: [row[-last:] if last else row for row in [*parts, []]] for name, last in LEVELS.items()}
        theirs = [[p for p in _parts(text) if p in part] for text in owners.labels["location"]]
        code, item = owners.facets["location"], items.facets["location"][catalogue]
        levels = {
            name: (_incidence(rows, part), np.array([len(set(r)) for r in rows])) for name, rows in wanted.items()
        }
        return cls(
            part,
            np.where(code < 0, len(theirs), code),
            _incidence([*theirs, []], part),
            np.where(item < 0, len(labels), item),
            levels,
        )

    def columns(
        self, owners: Owners, owner: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]]
    ) -> dict[str, Column]:
        """Return by level, for n pairs (owner, catalogue row): 1 if the owner is in the item's place."""
        stated, which = self._stated(owners)
        place = which[owner] * np.int64(len(self.levels["location"][1])) + self.item_code[item]
        found = {}
        for name, (needed, parts) in self.levels.items():
            shared = (stated @ needed.T).toarray()
            inside = (shared >= parts) & (parts > 0)
            found[f"same_{name}"] = Column(inside.ravel().astype(np.float32), place, "place")
        return found

    def _stated(self, owners: Owners) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
        """Return the parts of a batch's distinct locations, and (b,) the row of each owner.

        The location comes from the entity; for unseen owners from their profile text.
        """
        blank = self.owner_parts.shape[0] - 1
        code = self.owner_code[np.maximum(owners.row, 0)] if len(self.owner_code) else np.full(len(owners), blank)
        code = np.where(owners.row >= 0, code, blank)
        if owners.text is None:
            code, which = np.unique(code, return_inverse=True)
            return self.owner_parts[code], which
        rows = [
            [t.removeprefix("location:") for t in text.split() if t.startswith("location:")] for text in owners.text
        ]
        words = _incidence([[p for p in row if p in self.part] for row in rows], self.part)
        return sparse.csr_matrix(self.owner_parts[code].maximum(words)), np.arange(len(owners))


def _parts(location: str) -> list[str]:
    return [part.replace(" ", "_") for part in places(location)]


def _incidence(rows: list[list[str]], part: dict[str, int]) -> sparse.csr_matrix:
    """Return (rows, parts): 1 where the row contains the part."""
    cells = sorted({(i, part[p]) for i, row in enumerate(rows) for p in row})
    row, column = np.array(cells, np.int64).reshape(-1, 2).T
    return sparse.csr_matrix((np.ones(len(cells), np.float32), (row, column)), shape=(len(rows), len(part)))
