"""From the bundles of a release to the scorers of one surface: ids aligned with its catalogue, switches heeded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from scipy import sparse

from models.als.scorer import AlsFold
from models.features.evidence import Evidence
from models.learned_ranker.scorer import LEARNED, LearnedRanker
from models.mlp_ranker.scorer import MlpRanker
from models.nouns.bundle import Bundle
from models.nouns.entities import Entities
from models.nouns.id_map import IdMap
from models.popularity.scorer import PopularScorer
from models.rules_ranker.scorer import RuleRanker
from models.schema import Entity, Source, Surface
from models.scoring.factors import ContentScorer, FactorScorer
from models.scoring.neighbours import NeighbourScorer
from models.scoring.scorer import Fold, Ranker, Scorer
from models.settings import Settings
from models.two_tower.scorer import TowerFold, TowerScorer

#: Facts of everybody and the demand for them, for the learned ranker.
ACTIVITY = "activity_v1"


def ranker_of(
    surface: Surface, bundles: Mapping[str, Bundle], settings: Settings, sources: Iterable[Source]
) -> Ranker | LearnedRanker | None:
    """The learned one, else the network, each where it was trained and, unless asked for by name, passed (its config
    says where); else the rules. sources: those that speak; the learned one needs all that it was taught with."""
    if settings.ranker == "off":
        return None
    union = settings.candidate_sources == "union"
    if union and settings.ranker in ("auto", "learned") and LEARNED in bundles and ACTIVITY in bundles:
        about = bundles[LEARNED].config["surfaces"].get(surface.value)
        passed = about is not None and (about["serves"] or settings.ranker == "learned")
        if passed and {s for s in Source if f"score_{s}" in about["features"]} <= set(sources):
            return LearnedRanker.of(bundles[LEARNED], surface)
    if settings.ranker in ("auto", "mlp") and "ranker_v1" in bundles:
        bundle = bundles["ranker_v1"]
        if settings.ranker == "mlp" or surface.value in bundle.config.get("surfaces", [surface.value]):
            return MlpRanker.of(bundle)
    return RuleRanker.of(settings)


def scorers_of(
    surface: Surface,
    bundles: Mapping[str, Bundle],
    settings: Settings,
    owners: Entities,
    items: Entities,
    rows: np.ndarray,
) -> list[Scorer]:
    """Every source that has a bundle and is switched on; the two-tower is read backwards on the founder side (R24)."""
    forward = surface.owner is Entity.USER
    found: list[Scorer] = []
    if "content_v1" in bundles:
        b, order = bundles["content_v1"], (owners.entity.value, items.entity.value)
        sides = _sides(b, order, "vectors", owners, items, rows)
        found.append(ContentScorer(Source.CONTENT_BASED, *sides, b.arrays["tokens"], b.arrays["token_vectors"]))
    als = "als_v1" if forward else "als_reverse_v1"
    source = Source.ALS if forward else Source.ALS_REVERSE
    if heard(source, settings) and als in bundles:
        found.append(FactorScorer(source, *_sides(bundles[als], ("user", "item"), "factors", owners, items, rows)))
    if heard(Source.TWO_TOWER, settings) and "two_tower_v1" in bundles:
        b, order = bundles["two_tower_v1"], ("user", "item") if forward else ("item", "user")
        sides = _sides(b, order, "factors", owners, items, rows)
        # without tokens: trained before strangers' words were stored
        told = "tokens" in b.arrays
        found.append(TowerScorer(surface, b, *sides) if told else FactorScorer(Source.TWO_TOWER, *sides))
    neighbours = "item_neighbours_v1" if forward else "item_neighbours_reverse_v1"
    if neighbours in bundles:
        found.append(NeighbourScorer(_similarity(bundles[neighbours], items.ids, rows)))
    if forward and "graph_filter_v1" in bundles:
        found.append(NeighbourScorer(_similarity(bundles["graph_filter_v1"], items.ids, rows), Source.GRAPH_FILTER))
    return found


def heard(source: Source, settings: Settings) -> bool:
    """Whether a source that has a bundle may speak (G01, G02)."""
    if source in (Source.ALS, Source.ALS_REVERSE):
        return settings.enable_als
    return settings.enable_two_tower or source is not Source.TWO_TOWER


def folds_of(
    surface: Surface, bundles: Mapping[str, Bundle], scorers: Sequence[Scorer], owners: Entities, items: Entities
) -> dict[Source, Fold]:
    """By source how it takes in what an owner did since; startups have no history in the two-tower."""
    found: dict[Source, Fold] = {}
    for scorer in scorers:
        if scorer.source in (Source.ALS, Source.ALS_REVERSE):
            found[scorer.source] = AlsFold(bundles[f"{scorer.source}_v1"], items.ids)
        if isinstance(scorer, TowerScorer) and surface.owner is Entity.USER:
            b = bundles["two_tower_v1"]
            if "history_vectors" in b.arrays:  # else trained before they were stored
                lengths, history = (
                    aligned(b, kind, side, e.ids)[0]
                    for kind, side, e in (("user_lengths", "user", owners), ("history_vectors", "item", items))
                )
                found[scorer.source] = TowerFold(scorer, lengths, history, int(b.config["history"]))
    return found


def wanted_of(scorers: Sequence[Scorer], evidence: Evidence) -> Iterator[tuple[Source, Scorer]]:
    """What is in demand, busy of late, or both in demand and close by content or neighbours."""
    yield Source.POPULAR, PopularScorer(evidence.demand)
    yield Source.POPULAR, PopularScorer(evidence.recent)
    for scorer in scorers:
        if isinstance(scorer, ContentScorer | NeighbourScorer):
            yield scorer.source, scorer.times(evidence.demand)


def _sides(
    bundle: Bundle, order: tuple[str, str], kind: str, owners: Entities, items: Entities, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Owner vectors and who is known, item vectors and which are known over the catalogue, as a FactorScorer takes
    them. order: the bundle's names of owners and items. A row of zeros is somebody of whom nothing was learned: the
    model abstains for them."""
    mine, known = aligned(bundle, f"{order[0]}_{kind}", order[0], owners.ids)
    theirs, shown = aligned(bundle, f"{order[1]}_{kind}", order[1], items.ids)
    return mine, known & mine.any(axis=1), theirs[rows], (shown & theirs.any(axis=1))[rows]


def aligned(bundle: Bundle, array: str, ids: str, wanted: IdMap) -> tuple[np.ndarray, np.ndarray]:
    """The rows of an array in the order of `wanted`, zero where the bundle does not know the id; and which it knows.

    A bundle that knows just these ids gives its own array, not a copy for every surface."""
    if np.array_equal(bundle.maps[ids].ids, wanted.ids):
        return np.asarray(bundle.arrays[array], np.float32), np.ones(len(wanted), bool)
    place = bundle.maps[ids].rows_of(wanted.ids)
    known = place >= 0
    values = np.asarray(bundle.arrays[array], np.float32)
    return np.where(known.reshape(-1, *[1] * (values.ndim - 1)), values[place], np.float32(0)) if len(
        values
    ) else np.zeros((len(wanted), *values.shape[1:]), np.float32), known


def _similarity(bundle: Bundle, ids: IdMap, rows: np.ndarray) -> sparse.csr_matrix:
    """The neighbour matrix over catalogue positions, (m, m) float32."""
    n = len(bundle.maps["item"])
    matrix = sparse.csr_matrix((bundle.arrays["data"], bundle.arrays["indices"], bundle.arrays["indptr"]), shape=(n, n))
    place = bundle.maps["item"].rows_of(ids.ids[rows])
    known = np.flatnonzero(place >= 0)
    spread = sparse.csr_matrix((np.ones(len(known), np.float32), (known, place[known])), shape=(len(rows), n))
    return (spread @ matrix @ spread.T).tocsr().astype(np.float32)
