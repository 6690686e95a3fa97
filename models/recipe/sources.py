"""From the bundles of a release to the scorers and the ranker of one surface, as the registry declares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from models import registry
from models.features.evidence import Evidence
from models.learned_ranker.scorer import LearnedRanker
from models.nouns.bundle import Bundle
from models.popularity import POPULAR
from models.popularity.scorer import PopularScorer
from models.schema import Surface
from models.scoring.scorer import Fold, Ranker, RankerAsked, Scorer, Sides
from models.settings import Settings
from models.spec import ModelSpec, Source, Stage, function


def ranker_of(
    surface: Surface, bundles: Mapping[str, Bundle], settings: Settings, sources: Iterable[Source]
) -> Ranker | LearnedRanker | None:
    """The first ranker of the registry that is asked for and may serve; the rules, which need no bundle, always may.

    sources: those that speak."""
    if settings.table("ranker").kind == "off":
        return None
    union, silent = settings.lists.candidate_sources == "union", set(registry.sources()) - {*sources, POPULAR}
    for spec in registry.staged(Stage.RANKER):
        if spec.bundle and settings.table("ranker").kind not in ("auto", spec.kind):
            continue
        asked = RankerAsked(
            surface,
            bundles.get(spec.bundle),
            bundles,
            settings.table("ranker").kind == spec.kind,
            union,
            frozenset(source.name for source in silent),
        )
        ranker: Ranker | LearnedRanker | None = function(spec.scorer)(asked, settings.table(spec.table_name))
        if ranker is not None:
            return ranker
    return None


def scorers_of(bundles: Mapping[str, Bundle], settings: Settings, sides: Sides) -> list[Scorer]:
    """Every source that has a bundle and is switched on, in the order of the registry."""
    found = (spec for spec in _speaking(sides.surface) if spec.bundle in bundles and not spec.off(settings))
    return [function(spec.scorer)(bundles[spec.bundle], sides, spec.source) for spec in found]


def heard(source: Source, surface: Surface, settings: Settings) -> bool:
    """Whether a source that has a bundle may speak (G01, G02)."""
    return any(spec.source is source and not spec.off(settings) for spec in _speaking(surface))


def folds_of(bundles: Mapping[str, Bundle], scorers: Sequence[Scorer], sides: Sides) -> dict[Source, Fold]:
    """By source how it takes in what an owner did since."""
    by_source = {scorer.source: scorer for scorer in scorers}
    found: dict[Source, Fold | None] = {
        spec.source: function(spec.fold_in)(by_source[spec.source], bundles[spec.bundle], sides)
        for spec in _speaking(sides.surface)
        if spec.fold_in and spec.source in by_source
    }
    return {source: fold for source, fold in found.items() if fold is not None}


def wanted_of(surface: Surface, scorers: Sequence[Scorer], evidence: Evidence) -> Iterator[tuple[Source, Scorer]]:
    """What is in demand, busy of late, or both in demand and close by a model that says so."""
    yield POPULAR, PopularScorer(evidence.demand)
    yield POPULAR, PopularScorer(evidence.recent)
    weighted = {spec.source for spec in _speaking(surface) if spec.demand_weighted}
    for scorer in scorers:
        if scorer.source in weighted:
            times: Any = scorer
            yield scorer.source, times.times(evidence.demand)


def _speaking(surface: Surface) -> Iterator[ModelSpec]:
    """The models that propose for the owners of a surface."""
    return (spec for spec in registry.MODELS if spec.source and spec.scorer and surface.owner in spec.owners)
