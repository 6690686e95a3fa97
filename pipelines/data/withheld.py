"""Words of profiles that are there, or missing, because of what came later: a snapshot leaves the column out.

Profiles are as of the export. Where a column is filled on the occasion of a meeting, a ranker that looks back to an
inner cut would learn that whoever has it is met (docs/decisions/view-readings.md).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.nouns.span import leaving
from models.schema import Entity
from pipelines.data.columns.layout import STARTUPS, USERS, RowGroups
from pipelines.data.columns.telling import equally_busy, met_from, telling
from pipelines.data.snapshot import Snapshot

_LOG = logging.getLogger(__name__)
_TABLES = {Entity.USER: ("users.parquet", USERS), Entity.STARTUP: ("startups.parquet", STARTUPS)}


def withhold(staged: Snapshot, folder: Path) -> dict[str, dict[str, str]]:
    """Blank every column of words whose blanks at the inner cut tell what came after; returns by side and column how.

    folder: where the tables of `staged` lie; those that change are written again."""
    found = {f"{entity}s": dict(_telling(staged, entity)) for entity in Entity}
    for entity, (file, schema) in _TABLES.items():
        columns = found[f"{entity}s"]
        if columns:
            table = pq.read_table(folder / file)
            for name, how in columns.items():
                table = table.set_column(schema.get_field_index(name), schema.field(name), pa.array([""] * len(table)))
                _LOG.warning(
                    "the column %s of %ss is left out of this build: it is filled, or blank, because of what "
                    "came later (at the inner cut, %s)",
                    name,
                    entity,
                    how,
                )
            (folder / file).unlink()
            with RowGroups(folder / file, schema) as groups:
                groups.write(table)
    return found


def _telling(staged: Snapshot, entity: Entity) -> Iterator[tuple[str, str]]:
    at = np.sort(staged.heard.at)
    share = float(staged.manifest["settings"]["holdout_share"])
    cut_us = leaving(at, share) if len(at) else 0
    events = staged.interactions() if entity is Entity.USER else staged.interactions().transposed()
    then = staged.entities(entity, cut_us)
    there = then.listed & (then.count > 0) if staged.entities(entity).all_met else then.listed
    shown = np.flatnonzero(there)
    met, strata = met_from(events, cut_us, len(then))[shown], equally_busy(events.before(cut_us), shown)
    for name, words in staged.profiles(entity, cut_us).items():
        how = telling(np.array([not text for text in words], bool)[shown], met, strata)
        if how:
            yield name, how
