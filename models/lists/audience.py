"""Who sees an item: the lists of a release by item instead of by owner, for the first SEEN places.

| file in a release's directory | content |
|---|---|
| `<folder>/audience_indptr.npy` | (items + 1,) int64: where the entries of each item row begin |
| `<folder>/audience_owner.npy` | (n,) int32 owner rows, ascending within an item |
| `<folder>/audience_place.npy` | (n,) uint8 place in the list of this owner, from 1 |
| `ids_user.npy`, `ids_startup.npy` | (rows, 16) uint8 ids of the rows, zeros for an erased one |

The manifest has their checksums. Large ones are mapped, so a page reads only
what it shows. Releases of older versions have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import indptr_of
from models.data.bundle import sha256_of
from models.data.entities import IdMap
from models.data.mapped import map_array
from models.errors import ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.release import Release
from models.schema import Entity, Surface

#: Places of each list that count as seen: what a platform shows on its first page.
SEEN = 20
_COLUMNS = ("indptr", "owner", "place")


@dataclass(frozen=True, eq=False)
class Audience:
    """The owners who see each item of a surface. Columns as in the files."""

    indptr: NDArray[np.int64]
    owner: NDArray[np.int32]
    place: NDArray[np.uint8]

    @property
    def exposure(self) -> NDArray[np.int64]:
        """Return (items,) number of lists whose first SEEN places hold the item."""
        return np.diff(self.indptr)

    def of(self, item: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Return owner rows and places of an item row, the best places first, then by owner row."""
        entries = slice(int(self.indptr[item]), int(self.indptr[item + 1]))
        order = np.argsort(self.place[entries], kind="stable")
        return self.owner[entries][order], self.place[entries][order]


def audience_of(parts: Iterable[RankedLists], items: int) -> Audience:
    """Turn the lists of a surface around. items: number of item rows. Takes time and memory linear in the places."""
    owners, rows, places, lengths = [], [], [], []
    for lists in parts:
        place = np.arange(len(lists.item)) - np.repeat(lists.indptr[:-1], np.diff(lists.indptr))
        seen = place < SEEN
        owners.append(lists.owner)
        rows.append(lists.item[seen])
        places.append((place[seen] + 1).astype(np.uint8))
        lengths.append(np.minimum(np.diff(lists.indptr), SEEN))
    owner = np.concatenate([np.zeros(0, np.int32), *owners])
    indptr = indptr_of(np.concatenate([np.zeros(0, np.int64), *lengths]))
    columns = np.concatenate([np.zeros(0, np.uint8), *places]), np.concatenate([np.zeros(0, np.int32), *rows])
    turned = sparse.csr_matrix((*columns, indptr), shape=(len(owner), items)).tocsc()
    return Audience(turned.indptr.astype(np.int64), owner[turned.indices], turned.data)


def audience_file(surface: Surface, column: str) -> str:
    """Return the path of a column within the release's directory."""
    return f"{surface.folder}/audience_{column}.npy"


def ids_file(entity: Entity) -> str:
    """Return the path of the ids of one kind within the release's directory."""
    return f"ids_{entity}.npy"


def save_audience(directory: Path, surface: Surface, audience: Audience) -> None:
    """Write the columns of a surface into the release's directory. Its folder must exist."""
    for column in _COLUMNS:
        _save(directory / audience_file(surface, column), getattr(audience, column))


def save_ids(directory: Path, ids: Mapping[Entity, IdMap]) -> None:
    """Write the ids of all rows of each kind into the release's directory."""
    for entity, of_rows in ids.items():
        _save(directory / ids_file(entity), of_rows.packed())


def open_audience(directory: Path, release: Release, surface: Surface) -> Audience | None:
    """Map the audience of a surface. None if the release has none. Raises ReleaseIncomplete if a file was changed."""
    if audience_file(surface, "indptr") not in release.files:
        return None
    return Audience(*(_opened(directory, release, audience_file(surface, c)) for c in _COLUMNS))


def open_exposure(directory: Path, release: Release, surface: Surface) -> NDArray[np.int64] | None:
    """Read only how many lists show each item row, see `Audience.exposure`. Returns and raises as `open_audience`."""
    file = audience_file(surface, "indptr")
    return np.diff(_opened(directory, release, file)) if file in release.files else None


def open_ids(directory: Path, release: Release, entity: Entity) -> IdMap | None:
    """Read the ids of a release's rows. Returns and raises as `open_audience`."""
    if ids_file(entity) not in release.files:
        return None
    packed = _opened(directory, release, ids_file(entity))
    keys = packed.view(f"S{packed.shape[1]}").reshape(-1)
    known = keys[keys != b""]
    return IdMap.from_packed(packed, 0 if (known[:-1] < known[1:]).all() else len(packed))


def _save(path: Path, array: NDArray[Any]) -> None:
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)
    path.chmod(0o600)


def _opened(directory: Path, release: Release, file: str) -> NDArray[Any]:
    path = directory / file
    if not path.is_file() or sha256_of(path) != release.files.get(file):
        raise ReleaseIncomplete(
            f"{path} differs from its manifest (truncated, changed or missing); build this cutoff again, "
            "or look at another release"
        )
    return map_array(path)
