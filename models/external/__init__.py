"""Models of another program: vectors or scores by id in Parquet files, with the time of their data."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from models.schema import Entity
from models.setting import Phase, setting
from models.spec import BOTH, ModelSpec, Source


@dataclass(frozen=True)
class ExternalConfig:
    """Settings of an external model."""

    files: str = setting(
        "", "Parquet file or folder, as absolute path or fsspec URL; empty: the model is left out", phase=Phase.TRAIN
    )
    max_age_days: float = setting(
        0.0, "a set older than this at the cutoff is left out; 0: no limit", unit="days", low=0, phase=Phase.TRAIN
    )


def vectors(
    name: str, code: int, label: str, reason: tuple[str, str], owners: Set[Entity] = BOTH, title: str = ""
) -> ModelSpec:
    """Declare vectors of users and startups, scored by dot product.

    Columns: id (text), vector (list of numbers of one length), as_of (timestamp). Arguments: see `Source`.
    """
    return _spec(
        "vectors",
        Source(name, code, label, reason),
        owners,
        title or "Vectors that another program computed, by dot product.",
        arrays="user_vectors, startup_vectors (user, startup)",
        rows="vectors of the newest set known at the cutoff",
    )


def scores(
    name: str, code: int, label: str, reason: tuple[str, str], owners: Set[Entity] = BOTH, title: str = ""
) -> ModelSpec:
    """Declare scores of pairs. Other pairs are neither proposed nor scored.

    Columns: user_id, startup_id (text), score (number), as_of (timestamp). Arguments: see `Source`.
    """
    return _spec(
        "scores",
        Source(name, code, label, reason),
        owners,
        title or "Scores of pairs that another program computed.",
        arrays="indptr, indices, data (user, startup)",
        rows="users x startups, scores of the newest set known at the cutoff, csr",
    )


def _spec(kind: str, source: Source, owners: Set[Entity], title: str, arrays: str, rows: str) -> ModelSpec:
    return ModelSpec(
        name=source.name,
        bundle=f"{source.name}_v1",
        title=title,
        arrays=arrays,
        rows=rows,
        fit=f"models.external.fit:fit_{kind}",
        config=ExternalConfig,
        source=source,
        owners=frozenset(owners),
        scorer=f"models.external.scorer:open_{kind}",
        cheap=True,
    )
