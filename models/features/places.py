"""Whether owner and item sit in the same place: the whole location, its region, its country.

Places are compared part by part ("Pittsburgh", "PA", "USA"), so that a stranger, of whom only the words of the profile
are told, is compared as everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from models.features.regions import PLACES
from models.nouns.entities import Entities
from models.nouns.owners import Owners
from models.nouns.words import places

#: How many of the last parts of an item's location must be the owner's too; 0: all of them.
LEVELS = {"location": 0, **PLACES}


@dataclass(frozen=True, eq=False)
class Places:
    """part: place of each known part. owner: (owners, parts) bool csr. item_code: (m,) int32 label, the last is blank.

    levels: by name (labels + 1, parts) float32 csr, what an owner must have, and how many parts that is.
    """

    part: dict[str, int]
    owner: sparse.csr_matrix
    item_code: np.ndarray
    levels: dict[str, tuple[sparse.csr_matrix, np.ndarray]]

    @classmethod
    def of(cls, owners: Entities, items: Entities, catalogue: np.ndarray) -> Places:
        labels = items.labels["location"]
        parts = [_parts(text) for text in labels]
        part = {p: i for i, p in enumerate(sorted({p for row in parts for p in row}))}
        wanted = {name: [row[-last:] if last else row for row in [*parts, []]] for name, last in LEVELS.items()}
        theirs = [[p for p in _parts(text) if p in part] for text in owners.labels["location"]]
        code = owners.facets["location"]
        told = _incidence([*theirs, []], part)[np.where(code < 0, len(theirs), code)]
        item = items.facets["location"][catalogue]
        levels = {
            name: (_incidence(rows, part), np.array([len(set(r)) for r in rows])) for name, rows in wanted.items()
        }
        return cls(part, told, np.where(item < 0, len(labels), item), levels)

    def columns(self, owners: Owners, owner: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """By level (n,) float32: 1 where the owner is in the item's place, for pairs (owner, catalogue position)."""
        mine, code = self._told(owners), self.item_code[item]
        found = {}
        for name, (needed, parts) in self.levels.items():
            shared = np.asarray((mine @ needed.T).todense())
            inside = (shared >= parts) & (parts > 0)
            found[f"same_{name}"] = inside[owner, code].astype(np.float32)
        return found

    def _told(self, owners: Owners) -> sparse.csr_matrix:
        """(b, parts) float32: by the entity and by the words that a stranger brings."""
        known = sparse.diags((owners.row >= 0).astype(np.float32))
        told = (
            sparse.csr_matrix(known @ self.owner[np.maximum(owners.row, 0)])
            if self.owner.shape[0]
            else sparse.csr_matrix((len(owners), len(self.part)), dtype=np.float32)
        )
        if owners.text is None:
            return told
        rows = [
            [t.removeprefix("location:") for t in text.split() if t.startswith("location:")] for text in owners.text
        ]
        words = _incidence([[p for p in row if p in self.part] for row in rows], self.part)
        return sparse.csr_matrix(told.maximum(words))


def _parts(location: str) -> list[str]:
    """The parts of a place in their order, as `tokens_of` writes them."""
    return [part.replace(" ", "_") for part in places(location)]


def _incidence(rows: list[list[str]], part: dict[str, int]) -> sparse.csr_matrix:
    """(rows, parts) float32: 1 where the part stands in the row."""
    cells = sorted({(i, part[p]) for i, row in enumerate(rows) for p in row})
    row, column = np.array(cells, np.int64).reshape(-1, 2).T
    return sparse.csr_matrix((np.ones(len(cells), np.float32), (row, column)), shape=(len(rows), len(part)))
