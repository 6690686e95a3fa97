"""Write the required training files from a snapshot (D02-D10, E01-E03).

This module is the only definition of names and orientation (R20). In file names "user" means the rows of the matrix
and "item" its columns.

| file | rows ("user") | columns ("item") |
|---|---|---|
| als_interactions.npz | users, als_user_mapping.json | startups, als_item_mapping.json |
| als_interactions_reverse.npz | **startups**, als_reverse_user_mapping.json | **users**, als_reverse_item… |

The matrices are SciPy CSR, float32, with the cells of `Interactions.csr` (C01-C07, R07). The reverse one is the
transpose. A mapping holds {"ids": [id of row 0, …], "rows": {id: row}}, ids ascending. two_tower_train.csv has one
line per event with facts of both sides. Left out: people who opted out (R23), people with fewer events than
`min_interactions` (C31), and startups without remaining events. `pipelines/train` writes ranker_train.csv (D11).
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray
from scipy import sparse

from models.als import AlsConfig
from models.data.entities import Entities, IdMap
from models.data.interactions import EVENT_WEIGHTS, Interactions
from models.errors import TooSparse
from models.schema import TABLE_OF, Entity, EventType, Role, words_by_code
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef
from pipelines.run.run import Run

logger = logging.getLogger(__name__)
FOLDER = "datasets"
#: Lines of two_tower_train.csv converted at a time.
_LINES = 1 << 17


def write_datasets(run: Run, build: BuildRef) -> dict[str, Any]:
    """The step: write the files. Return their folder, relative to the artefacts, and the size of each.

    Too sparse data (P02) do not stop a build. Then `note` gives the reason.
    """
    folder = run.settings.artifacts / "snapshots" / build.snapshot / FOLDER
    try:
        sizes = write_sets(Snapshot.open(folder.parent), folder, run.settings.of(AlsConfig).min_interactions)
    except TooSparse as error:
        logger.warning("no training files for %s: %s", build.snapshot, error)
        return {"datasets": "", "note": str(error)}
    return {"datasets": f"snapshots/{build.snapshot}/{FOLDER}", "files": sizes}


def write_sets(snapshot: Snapshot, folder: Path, min_interactions: int = 1) -> dict[str, int]:
    """Write each training file (D03-D10) atomically. Return cells, ids or lines by file name.

    Raises TooSparse if nobody has `min_interactions` events (P02).
    """
    events = _taught(snapshot, min_interactions)
    forward = _compact(events)
    matrix = forward.csr()
    reverse = sparse.csr_matrix(matrix.T)
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, int] = {}
    for prefix, suffix, cells, rows, columns in (
        ("als", "", matrix, forward.owners, forward.items),
        ("als_reverse", "_reverse", reverse, forward.items, forward.owners),
    ):
        sizes |= {
            f"als_interactions{suffix}.npz": _matrix(folder / f"als_interactions{suffix}.npz", cells),
            f"{prefix}_user_mapping.json": _mapping(folder / f"{prefix}_user_mapping.json", rows),
            f"{prefix}_item_mapping.json": _mapping(folder / f"{prefix}_item_mapping.json", columns),
        }
    return sizes | {"two_tower_train.csv": _two_tower(folder / "two_tower_train.csv", snapshot, events)}


def read_matrix(folder: Path, reverse: bool = False) -> tuple[sparse.csr_matrix, IdMap, IdMap]:
    """Read what `write_sets` wrote: (rows, columns) float32 weights, and the ids of rows and columns."""
    prefix, suffix = ("als_reverse", "_reverse") if reverse else ("als", "")
    maps = [json.loads((folder / f"{prefix}_{side}_mapping.json").read_bytes())["ids"] for side in ("user", "item")]
    matrix = sparse.csr_matrix(sparse.load_npz(folder / f"als_interactions{suffix}.npz"))
    rows, columns = (IdMap(np.array(ids, dtype="<U36")) for ids in maps)
    return matrix, rows, columns


def _taught(snapshot: Snapshot, min_interactions: int) -> Interactions:
    allowed = snapshot.heard
    enough = allowed.counts() >= min_interactions
    kept = allowed.where(enough[allowed.owner])
    if len(allowed) and not len(kept):
        people, most = int((allowed.counts() > 0).sum()), int(allowed.counts().max())
        raise TooSparse(
            f"matrix too sparse: expected somebody with at least {min_interactions} interactions, but the most active "
            f"of {people} people has {most}; lower --min-interactions ([als] min_interactions) or load more "
            "events (P02)"
        )
    return kept


def _compact(events: Interactions) -> Interactions:
    (owners, owner), (items, item) = (np.unique(rows, return_inverse=True) for rows in (events.owner, events.item))
    ids = events.owners.taken(owners), events.items.taken(items)
    return Interactions(*ids, owner.astype(np.int32), item.astype(np.int32), events.kind, events.at)


def _matrix(path: Path, matrix: sparse.csr_matrix) -> int:
    _whole(path, lambda aside: sparse.save_npz(aside, matrix, compressed=False))
    return int(matrix.nnz)


def _mapping(path: Path, ids: IdMap) -> int:
    words = ids.ids.tolist()
    content = json.dumps({"ids": words, "rows": {word: row for row, word in enumerate(words)}})
    _whole(path, lambda aside: aside.write_text(content))
    return len(words)


def _two_tower(path: Path, snapshot: Snapshot, events: Interactions) -> int:
    """Write one line per event (D10): both ids, kind, weight, time, and facts of both sides."""
    people = {entity: _facts(snapshot.entities(entity)) for entity in Entity}

    def fill(aside: Path) -> None:
        writer: pa_csv.CSVWriter | None = None
        for start in range(0, max(len(events), 1), _LINES):
            lines = _lines(people, events, slice(start, start + _LINES))
            writer = writer or pa_csv.CSVWriter(aside, lines.schema)
            writer.write_table(lines)
        if writer:
            writer.close()

    _whole(path, fill)
    return len(events)


def _facts(entities: Entities) -> dict[str, pa.Array]:
    facts = {f"{entities.entity}_id": pa.array(entities.ids.ids.tolist(), pa.string())}
    if entities.entity is Entity.USER:
        facts["user_role"] = _words([r.value for r in Role], entities.role)
    for facet in TABLE_OF[entities.entity].facets:
        facts[f"{entities.entity}_{facet}"] = _words(entities.labels[facet], entities.facets[facet])
    return facts


def _words(labels: Any, codes: NDArray[np.integer[Any]]) -> pa.Array:
    return pa.array([*labels, ""], pa.string()).take(pa.array(np.where(codes < 0, len(labels), codes)))


def _lines(people: dict[Entity, dict[str, pa.Array]], events: Interactions, part: slice) -> pa.Table:
    user, startup, kind = (pa.array(column[part]) for column in (events.owner, events.item, events.kind))
    users, startups = people[Entity.USER], people[Entity.STARTUP]
    at = pa.array(events.at[part], pa.timestamp("us", tz="UTC"))
    return pa.table({
        "user_id": users["user_id"].take(user),
        "startup_id": startups["startup_id"].take(startup),
        "interaction_type": pa.array(words_by_code(EventType)).take(kind),
        "weight": pa.array(EVENT_WEIGHTS).take(kind),
        "occurred_at": at,
        **{name: column.take(user) for name, column in users.items() if name != "user_id"},
        **{name: column.take(startup) for name, column in startups.items() if name != "startup_id"},
    })  # fmt: skip


def _whole(path: Path, fill: Callable[[Path], Any]) -> None:
    """Write to a temporary file that only its owner can read, then rename it."""
    aside = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        aside.touch(mode=0o600)
        fill(aside)
        aside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()
