"""Interaction counts that do not scan (N07, R09): stored once a build at its cutoff, asked for at any instant.

docs/decisions/0001-interaction-counts.md says why they are neither triggers nor a materialised view.
"""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Engine, text

from models.data.entities import Entities
from models.schema import INTERACTION_TYPES, Entity
from models.settings.settings import Settings
from pipelines.postgres import copy_rows, rows, transaction

#: Before this nothing is plausible where no setting says otherwise.
EARLIEST = Settings().export.earliest.at
KINDS = [t.value for t in INTERACTION_TYPES]


def store_counts(engine: Engine, as_of: datetime, *entities: Entities) -> bool:
    """Store everybody's count at a cutoff, in one transaction; False, and no change, where a later one is stored that
    has passed.

    The counts are those of the build, so the lists' routes and a later count agree.
    """
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE matchbook_counted IN SHARE ROW EXCLUSIVE MODE"))
        stored = connection.scalar(text("SELECT as_of FROM matchbook_counted"))
        if stored is not None and as_of < stored <= connection.scalar(text("SELECT CURRENT_TIMESTAMP")):
            return False
        connection.execute(text("DELETE FROM matchbook_interaction_counts"))
        for everybody in entities:
            copy_rows(
                connection,
                "matchbook_interaction_counts",
                ("entity", "id", "interactions"),
                BytesIO(_as_csv(everybody)),
            )
        connection.execute(
            text(
                "INSERT INTO matchbook_counted (as_of) VALUES (:as_of) "
                "ON CONFLICT (one) DO UPDATE SET as_of = EXCLUDED.as_of"
            ),
            {"as_of": as_of},
        )
    return True


def interaction_count(engine: Engine, entity: Entity, id: UUID, as_of: datetime, earliest: datetime = EARLIEST) -> int:
    """Events of a user (duplicates once) or different users of a startup before an instant; 0 for a stranger."""
    found = rows(engine, f"counts/{entity}", **{f"{entity}_id": id}, as_of=as_of, kinds=KINDS, earliest=earliest)
    return int(found[0].interactions)


def _as_csv(everybody: Entities) -> bytes:
    """COPY's CSV of those with any event; who has no row has none."""
    some = np.flatnonzero(everybody.count)
    table = pa.table(
        {
            "entity": np.full(len(some), everybody.entity.value),
            "id": everybody.ids.ids[some],
            "interactions": everybody.count[some],
        }
    )
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table, sink, pa.csv.WriteOptions(include_header=False))
    return bytes(sink.getvalue())
