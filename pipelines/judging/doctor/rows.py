"""Is there enough to learn from: empty tables (P01), too sparse a matrix (P02)."""

from __future__ import annotations

import numpy as np

from models import als
from models.nouns.bundle import Bundle
from models.nouns.catalogue import CATALOGUE, entities_of
from models.schema import Entity
from pipelines.judging.doctor.diagnosis import Diagnosis, Patient, answered, unknown
from pipelines.postgres import engine, rows

#: A market in which fewer people than this have come past the cold start has little to learn from.
_PAST_COLD = 0.10
_NO_ROWS = (
    "load the platform's data (`python -m pipelines import FOLDER`, docs/platform-data.md), or see whether the "
    "platform still writes views, clicks, likes and applications into its tables"
)
_SPARSE = (
    "wait for more events: until then content-based and popular lists answer; have owners with fewer events "
    "counted ([als] min_interactions = 1), or send them to ALS earlier (COLD_START_THRESHOLD)"
)


def empty_tables(patient: Patient) -> Diagnosis:
    """P01."""
    title = "No interactions to learn from"
    if not patient.running:
        return unknown("P01", title, "PostgreSQL does not run here, so its tables were not counted", _NO_ROWS)
    found = rows(engine(patient.settings), "doctor/sizes")[0]
    figures = {"users": found.users, "startups": found.startups, "interactions": found.interactions}
    empty = [name for name, count in figures.items() if not count]
    says = f"empty: {', '.join(empty)}" if empty else ", ".join(f"{count:,} {name}" for name, count in figures.items())
    return answered("P01", title, bool(empty), says, _NO_ROWS, figures)


def sparse_matrix(patient: Patient) -> Diagnosis:
    """P02."""
    title = "Too few events for each person or startup"
    release, catalogue = patient.release, patient.opened(CATALOGUE)
    if release is None or catalogue is None:
        return unknown("P02", title, "there is no release whose people could be counted", _SPARSE)
    counts = entities_of(catalogue)[Entity.USER].count
    past_cold = float((counts >= patient.settings.routing.cold_start_threshold).mean()) if len(counts) else 0.0
    wanted = [spec.bundle for spec in (als.SPEC, als.REVERSE) if not spec.off(patient.settings)]
    left_out = [name for name in wanted if name not in release.bundles]
    figures = {
        "users": len(counts),
        "events_a_user_median": float(np.median(counts)) if len(counts) else 0.0,
        "past_cold_start": round(past_cold, 4),
        "density": _density(patient.opened(als.SPEC.bundle)),
        "left_out": left_out,
    }
    few = past_cold < _PAST_COLD
    says = (
        f"{past_cold:.1%} of {len(counts):,} users have {patient.settings.routing.cold_start_threshold} events and more"
        + (f"; left out for want of data: {', '.join(left_out)}" if left_out else "")
    )
    return answered("P02", title, bool(left_out) or few, says, _SPARSE, figures)


def _density(als: Bundle | None) -> float | None:
    """Share of the cells of ALS's matrix that are filled."""
    value = als.config.get("density") if als is not None else None
    return float(value) if isinstance(value, int | float) else None
