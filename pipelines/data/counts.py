"""Interaction counts that do not scan (N07, R09): stored once a build at its cutoff, asked for at any instant.

docs/decisions/interaction-counts.md says why they are neither triggers nor a materialised view.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine, text

import sql
from models.nouns.vocabulary import Entity, InteractionKind
from pipelines.postgres import rows, transaction

KINDS = [kind.value for kind in InteractionKind]


def refresh_counts(engine: Engine, as_of: datetime) -> bool:
    """Store every count at a cutoff, in one transaction; False, and no change, where a later cutoff is stored."""
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE matchbook_counted IN SHARE ROW EXCLUSIVE MODE"))
        stored = connection.scalar(text("SELECT as_of FROM matchbook_counted"))
        if stored is not None and stored > as_of:
            return False
        connection.execute(text("DELETE FROM matchbook_interaction_counts"))
        connection.execute(text("INSERT INTO matchbook_interaction_counts (entity, id, interactions) "
                                + sql.load("interaction_counts")), {"as_of": as_of, "kinds": KINDS})
        connection.execute(text("INSERT INTO matchbook_counted (as_of) VALUES (:as_of) "
                                "ON CONFLICT (one) DO UPDATE SET as_of = EXCLUDED.as_of"), {"as_of": as_of})
    return True


def interaction_count(engine: Engine, entity: Entity, id: UUID, as_of: datetime) -> int:
    """Events of a user (duplicates once) or different users of a startup before an instant; 0 for a stranger."""
    found = rows(engine, f"{entity}_interaction_count", **{f"{entity}_id": id}, as_of=as_of, kinds=KINDS)
    return int(found[0].interactions)
