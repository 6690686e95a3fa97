"""Users or startups on their way into a snapshot: whoever has not arrived by the cutoff is left out at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.nouns.erased import Erased
from models.nouns.id_map import NIL, pack_ids
from pipelines.data.columns.checks import Rejected
from pipelines.data.columns.copied import id_array, typed
from pipelines.data.columns.layout import RowGroups


class People:
    """Rows of `users` or `startups`, ascending by id, as they are copied out; a context manager around its first file.
    Whoever was erased is left out, as anybody's founder, too.

    view: the contract view they come from. known: their ids, for looking up events. born: bool, created before the
    cutoff or at an unknown time. A birth or an edit before the first plausible instant is told of and counts as blank;
    an opt-out or a withdrawal counts whatever its age.
    """

    def __init__(
        self,
        view: str,
        path: Path,
        schema: pa.Schema,
        as_of_us: int,
        earliest_us: int,
        rejected: Rejected,
        erased: Erased,
    ) -> None:
        self.view, self._schema, self._as_of_us, self._rejected = view, schema, as_of_us, rejected
        self._erased, self._earliest_us = erased, earliest_us
        self._all = path.with_suffix(".all")
        self._path, self._groups, self._last = path, RowGroups(self._all, schema), ""
        self._ids: list[np.ndarray] = []
        self._born: list[np.ndarray] = []

    def __enter__(self) -> People:
        self._groups.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._groups.__exit__(*error)  # type: ignore[arg-type]

    def take(self, table: pa.Table) -> None:
        """The next rows, as text. A row without an id, of the nil UUID, or of the row before, is set aside."""
        table = self._without_erased(table)
        ids = table[self._schema.names[0]].to_numpy()
        again = ids == np.concatenate([np.array([self._last], object), ids[:-1]])
        nobody = (ids == "") | (ids == NIL)
        for mask, reason in ((nobody, "no id"), (again & ~nobody, "repeated id")):
            self._rejected.add(
                self.view, int(mask.sum()), **{self._schema.names[0]: pa.array(ids[mask], pa.string())}, reason=reason
            )
        self._last = ids[-1] if len(ids) else self._last
        self._keep(typed(table.filter(pa.array(~again & ~nobody)), self._schema))

    @property
    def known(self) -> pa.FixedSizeBinaryArray:
        return id_array(np.concatenate([np.zeros(0, "V16"), *self._ids]))

    @property
    def born(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, bool), *self._born])

    def write(self, there: np.ndarray) -> int:
        """Write the rows of the mask to the snapshot's file; returns how many."""
        with RowGroups(self._path, self._schema) as groups:
            start = 0
            for batch in pq.ParquetFile(self._all).iter_batches():
                groups.write(pa.table(batch).filter(pa.array(there[start : start + len(batch)])))
                start += len(batch)
        self._all.unlink()
        return groups.rows

    def _without_erased(self, table: pa.Table) -> pa.Table:
        if not self._erased.marks:
            return table
        table = table.filter(pa.array(~self._gone(table[self._schema.names[0]])))
        if "founder_id" not in table.column_names:
            return table
        founders = pc.if_else(pa.array(self._gone(table["founder_id"])), "", table["founder_id"])
        return table.set_column(table.column_names.index("founder_id"), "founder_id", founders)

    def _gone(self, ids: pa.ChunkedArray) -> np.ndarray:
        return self._erased.mask(pack_ids(ids.to_numpy().astype("<U36")))

    def _plausible(self, table: pa.Table) -> pa.Table:
        for column in ("created_at", "updated_at"):
            early = pc.fill_null(pc.less(table[column].cast(pa.int64()), self._earliest_us), False)
            odd = table.filter(early)
            self._rejected.add(
                self.view,
                len(odd),
                lost=False,
                **{self._schema.names[0]: odd[self._schema.names[0]]},
                occurred_at=odd[column],
                reason=f"{column} is too old, taken as blank",
            )
            table = table.set_column(
                table.schema.get_field_index(column), table.schema.field(column), pc.if_else(early, None, table[column])
            )
        return table

    def _keep(self, table: pa.Table) -> None:
        if len(table):
            table = self._plausible(table)
            self._groups.write(table)
            packed = pack_ids(table[self._schema.names[0]].to_numpy().astype("<U36"))
            self._ids.append(np.ascontiguousarray(packed).view("V16").ravel())
            created = table["created_at"].cast(pa.int64())
            self._born.append(pc.fill_null(pc.less(created, self._as_of_us), True).to_numpy())
