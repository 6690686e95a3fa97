"""Check rows against their layout, one column at a time. The first broken rule is the reason of a rejection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.data.entities import ID_BYTES, NIL
from models.schema import INTERACTION_TYPES, Field, FieldType, Table
from pipelines.ingest.rows import Chunk, Reject, texts

_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_ISO = r"^[0-9]{4}-?[0-9]{2}-?[0-9]{2}([T ][0-9]{2}(:?[0-9]{2}){0,2}([.,][0-9]{1,9})?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?$"
_DAY = "^[0-9]{4}-?[0-9]{2}-?[0-9]{2}$"
#: Name of the column that marks cells with only the day of an event.
WHOLE_DAY = "whole_day"
_COUNT = "^[0-9]{1,18}$"
_KINDS = pa.array([t.value for t in INTERACTION_TYPES])
_PACKED = np.dtype((np.void, ID_BYTES))
_TIME = pa.timestamp("us", "UTC")
_INSTANTS = (FieldType.PAST, FieldType.EVENT_TIME, FieldType.INSTANT)


@dataclass(frozen=True, eq=False)
class Checked:
    """Typed good rows, with a first column `line`, and rejected rows with reasons."""

    rows: pa.Table
    rejects: list[Reject]


def check(chunk: Chunk, table: Table, started: datetime, also: Also) -> Checked:
    """Check every row of a chunk.

    started: start of the import. No past event can be later. also: called last, for checks that need more than one
    row.
    """
    verdict = Verdict(chunk)
    typed: dict[str, pa.Array] = {"line": pa.array(chunk.lines)}
    for field in table.fields:
        if field.name in chunk.cells.column_names:
            cell = chunk.cells[field.name].combine_chunks()
            typed[field.column] = _typed(field, cell, verdict, started)
            if field.type is FieldType.EVENT_TIME:
                typed[WHOLE_DAY] = pc.match_substring_regex(cell, _DAY)
    also(typed, verdict)
    return verdict.over(pa.table(typed))


Also = Callable[[dict[str, pa.Array], "Verdict"], None]


class Verdict:
    """The first reason against each row of a chunk. Code 0 is none."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._reasons: list[str] = [""]
        self._code = np.zeros(len(chunk.lines), np.int16)

    @property
    def good(self) -> NDArray[np.bool_]:
        """(n,) bool: rows without a reason so far."""
        return np.equal(self._code, 0)

    def against(self, bad: pa.Array | pa.ChunkedArray, reason: str) -> None:
        mask = np.asarray(pc.fill_null(bad, False)).astype(bool) & self.good
        if mask.any():
            self._code[mask] = len(self._reasons)
            self._reasons.append(reason)

    def over(self, rows: pa.Table) -> Checked:
        bad = self._code > 0
        if not bad.any():
            return Checked(rows, self._chunk.rejects)
        described = zip(self._chunk.lines[bad], self._code[bad], texts(self._chunk.cells, bad), strict=True)
        rejects = [Reject(int(line), self._reasons[code], content) for line, code, content in described]
        return Checked(rows.filter(pa.array(~bad)), self._chunk.rejects + rejects)


def _typed(field: Field, cell: pa.Array, verdict: Verdict, started: datetime) -> pa.Array:
    """Return the column in its type, blank as null. Reject rows whose cell has another form."""
    blank = pc.equal(cell, "")
    if field.required:
        verdict.against(blank, f"no {field.name}")
    cell = pc.if_else(blank, pa.scalar(None, pa.string()), cell)
    if field.type in _INSTANTS:
        return _instants(field, cell, verdict, started)
    if field.type is FieldType.ID:
        verdict.against(pc.invert(pc.match_substring_regex(cell, _UUID)), f"{field.name} is no UUID")
        verdict.against(pc.equal(cell, NIL), f"{field.name} is the nil UUID, which names nobody")
        return pc.ascii_lower(cell)
    if field.type is FieldType.EVENT_TYPE:
        verdict.against(pc.invert(pc.is_in(cell, _KINDS)), "unknown type")
    elif field.type is FieldType.COUNT:
        verdict.against(pc.invert(pc.match_substring_regex(cell, _COUNT)), f"{field.name} is no count")
    return cell


def _instants(field: Field, cell: pa.Array, verdict: Verdict, started: datetime) -> pa.Array:
    try:
        at = pc.cast(cell, _TIME)
    except pa.ArrowInvalid:  # Arrow does not read this form: parse cell by cell, which is slower
        at = _instants_one_by_one(cell)
    verdict.against(pc.and_(pc.is_null(at), pc.is_valid(cell)), f"{field.name} is no ISO 8601 instant")
    if field.type is not FieldType.INSTANT:
        verdict.against(pc.greater(at, pa.scalar(started, _TIME)), f"{field.name} lies in the future")
    return at


def _instants_one_by_one(cell: pa.Array) -> pa.Array:
    """Parse ISO 8601 dates and instants, UTC without a zone. Anything else, also "now", becomes null."""
    shaped = pc.if_else(pc.match_substring_regex(cell, _ISO), cell, pa.scalar(None, pa.string()))
    parsed = pd.to_datetime(pd.Series(shaped.to_pylist(), dtype=object), format="ISO8601", utc=True, errors="coerce")
    return pa.array(parsed.astype("datetime64[us, UTC]"), _TIME, from_pandas=True)


class Ids:
    """The ids of one file, 16 bytes of memory each, sorted: a look-up does not depend on their number."""

    def __init__(self) -> None:
        self._known = np.zeros(0, _PACKED)

    def __len__(self) -> int:
        return len(self._known)

    def take(self, ids: pa.Array, verdict: Verdict) -> None:
        """Add the ids of good rows. Reject ids of this or an earlier chunk as duplicates."""
        packed, before = _packed(ids, verdict.good), verdict.good
        again = np.ones(len(packed), bool)
        again[np.unique(packed, return_index=True)[1]] = False
        verdict.against(pa.array((again & before) | self._hold(packed)), "duplicate id")
        self._known = np.sort(np.concatenate([self._known, packed[verdict.good]]))

    def must_hold(self, ids: pa.Array, verdict: Verdict, what: str) -> None:
        """Reject rows that name an unknown id."""
        verdict.against(pa.array(~self._hold(_packed(ids, verdict.good))), f"unknown {what}")

    def _hold(self, packed: NDArray[np.void]) -> NDArray[np.bool_]:
        if not len(self._known):
            return np.zeros(len(packed), bool)
        place = np.minimum(np.searchsorted(self._known, packed), len(self._known) - 1)
        return np.asarray(self._known[place] == packed)


def _packed(ids: pa.Array, good: NDArray[np.bool_]) -> NDArray[np.void]:
    """Return (n,) 16 bytes of each good row's UUID, and of the nil UUID for every other row."""
    text = pc.replace_substring(pc.if_else(pa.array(good), ids, NIL), "-", "")
    return np.frombuffer(bytes.fromhex("".join(text.to_pylist())), _PACKED)
