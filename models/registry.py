"""All models, one per line. Keep the order: float32 sums and the learned ranker's columns need it."""

from __future__ import annotations

from typing import Any

from models import (
    activity,
    als,
    catalogue,
    content,
    ensemble,
    graph_filter,
    item_neighbours,
    learned_ranker,
    mlp_ranker,
    popularity,
    rules_ranker,
    stacked_ranker,
    two_tower,
)
from models.spec import ModelSpec, Source, Stage

#: Of the rankers, the first that may serve is used.
MODELS: list[ModelSpec] = [
    catalogue.SPEC,
    popularity.SPEC,
    activity.SPEC,
    content.SPEC,
    als.SPEC,
    als.REVERSE,
    two_tower.SPEC,
    item_neighbours.SPEC,
    item_neighbours.REVERSE,
    graph_filter.SPEC,
    ensemble.SPEC,
    learned_ranker.SPEC,
    mlp_ranker.SPEC,
    stacked_ranker.SPEC,
    rules_ranker.SPEC,
]


def staged(stage: Stage) -> tuple[ModelSpec, ...]:
    """Return the models of one stage."""
    return tuple(spec for spec in MODELS if spec.stage is stage)


def named(name: str) -> ModelSpec:
    """Return the model with this name or bundle name. Raises KeyError."""
    for spec in MODELS:
        if name and name in (spec.name, spec.bundle):
            return spec
    raise KeyError(name)


def bundles(stage: Stage = Stage.BASE) -> tuple[str, ...]:
    """Return the bundles of one stage; by default of the base models, which every build trains."""
    return tuple(spec.bundle for spec in staged(stage) if spec.bundle)


def required() -> tuple[str, ...]:
    """Return the bundles that a release needs. A source without its bundle proposes nothing (B09, A22)."""
    return tuple(spec.bundle for spec in MODELS if spec.required)


def pins(settings: Any) -> dict[str, str]:
    """Return by bundle the directory that the settings pin (M04); empty without a pin."""
    return {spec.bundle: settings.at(spec.pin) for spec in MODELS if spec.pin}


def tables() -> dict[str, type]:
    """Return by table of matchbook.toml the dataclass of its settings."""
    return {spec.table_name: spec.config for spec in MODELS if spec.config}


def ranker(code: int) -> ModelSpec | None:
    """Return the ranker of this code; None for 0 (no ranker), 1 (not stored by an older version) and unknown."""
    return {spec.code: spec for spec in staged(Stage.RANKER)}.get(code)


def ranker_code(kind: str) -> int:
    """Return the code of the ranker of this kind. Raises KeyError."""
    return {spec.kind: spec.code for spec in staged(Stage.RANKER)}[kind]


def sources() -> tuple[Source, ...]:
    """Return all sources of candidates, by code."""
    return tuple(sorted({spec.source for spec in MODELS if spec.source}, key=lambda source: source.code))


def source(name: str) -> Source:
    """Return the source with this name. Raises KeyError."""
    return {source.name: source for source in sources()}[name]
