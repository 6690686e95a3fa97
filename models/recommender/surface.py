"""What all owners of a surface share: catalogue, scorers, blend and ranker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models import registry
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.batch import Owners
from models.data.bundle import Bundle, open_bundle
from models.data.columns import Part
from models.data.entities import Entities
from models.data.interactions import Interactions
from models.ensemble import EnsembleConfig
from models.ensemble.scorer import Blend, blend_is_auto
from models.errors import BundleError
from models.experiments import with_arms
from models.features.table import RankerInputs, recency
from models.learned_ranker.scorer import ACTIVITY, LEARNED, LearnedRanker
from models.popularity import POPULAR
from models.popularity.scorer import PopularScorer
from models.ranker import RankerConfig
from models.rules_ranker import RulesConfig
from models.schema import DIVERSITY_FACETS, Entity, EventType, Surface
from models.scoring.factors import FactorScorer
from models.scoring.scorer import FoldIn, Ranker, RankerAsked, Scorer, Sides, WeightedScorer, aligned
from models.scoring.top_k import Keep
from models.settings.idle import Way
from models.settings.settings import Settings
from models.spec import ModelSpec, Source, Stage, function
from models.stacked_ranker.scorer import STACKED


def open_ranker(
    surface: Surface, bundles: Mapping[str, Bundle], settings: Settings, sources: Iterable[Source]
) -> Ranker | LearnedRanker | None:
    """Open the registry's first ranker that the settings allow and that may serve. The rules always may.

    sources: the enabled ones with a bundle.
    """
    kind = settings.of(RankerConfig).kind
    if kind == "off":
        return None
    union, silent = settings.lists.candidate_sources == "union", set(registry.sources()) - {*sources, POPULAR}
    for spec in registry.staged(Stage.RANKER):
        if spec.bundle and kind not in ("auto", spec.kind):
            continue
        asked = RankerAsked(
            surface,
            bundles.get(spec.bundle),
            bundles,
            kind == spec.kind,
            union,
            frozenset(source.name for source in silent),
        )
        ranker: Ranker | LearnedRanker | None = function(spec.scorer)(asked, settings.table(spec.table_name))
        if ranker is not None:
            return ranker
    return None


def possible_rankers(settings: Settings) -> frozenset[str]:
    """Return the kinds of rankers that these settings allow to serve; "off" for none."""
    if settings.of(RankerConfig).kind == "off":
        return frozenset({"off"})
    return frozenset(
        spec.kind for spec in registry.staged(Stage.RANKER) if not spec.bundle or not _unread(spec, settings)
    )


def serving_rankers(bundles: Mapping[str, Bundle], settings: Settings) -> frozenset[str]:
    """Return the kinds of rankers that serve on any surface with these bundles; "off" for none."""
    kinds = set()
    for surface in Surface:
        sources = [spec.source for spec in _speaking(surface) if spec.bundle in bundles and not spec.off(settings)]
        ranker = open_ranker(surface, bundles, settings, [source for source in sources if source is not None])
        kinds.add("off" if ranker is None else ranker.name)
    return frozenset(kinds)


def ways_of(recipes: Iterable[SurfaceRecommender]) -> list[Way]:
    """Return settings and rankers of each recipe, for `models.settings.idle`."""
    return [(r.settings, frozenset({"off" if r.ranker is None else r.ranker.name})) for r in recipes]


def open_scorers(bundles: Mapping[str, Bundle], settings: Settings, sides: Sides) -> list[Scorer]:
    """Open every enabled source with a bundle, in the order of the registry."""
    found = (spec for spec in _speaking(sides.surface) if spec.bundle in bundles and not spec.off(settings))
    return [function(spec.scorer)(bundles[spec.bundle], sides, spec.source) for spec in found]


def is_enabled(source: Source, surface: Surface, settings: Settings) -> bool:
    """Return whether a source with a bundle may be used (G01, G02)."""
    return any(spec.source is source and not spec.off(settings) for spec in _speaking(surface))


def open_fold_ins(bundles: Mapping[str, Bundle], scorers: Sequence[Scorer], sides: Sides) -> dict[Source, FoldIn]:
    """Open each source's fold-in of new events."""
    by_source = {scorer.source: scorer for scorer in scorers}
    found: dict[Source, FoldIn | None] = {
        spec.source: function(spec.fold_in)(by_source[spec.source], bundles[spec.bundle], sides)
        for spec in _speaking(sides.surface)
        if spec.fold_in and spec.source in by_source
    }
    return {source: fold for source, fold in found.items() if fold is not None}


def demand_weighted(
    surface: Surface, scorers: Sequence[Scorer], evidence: RankerInputs
) -> Iterator[tuple[Source, Scorer]]:
    """Yield sources by demand, by recent activity, and by score times demand."""
    yield POPULAR, PopularScorer(evidence.demand)
    yield POPULAR, PopularScorer(evidence.recent)
    weighted = {spec.source for spec in _speaking(surface) if spec.demand_weighted}
    for scorer in scorers:
        if scorer.source in weighted:
            yield scorer.source, cast(WeightedScorer, scorer).weighted(evidence.demand)


def _speaking(surface: Surface) -> Iterator[ModelSpec]:
    """Yield the models that propose for the owners of a surface."""
    return (spec for spec in registry.MODELS if spec.source and spec.scorer and surface.owner in spec.owners)


_POPULARITY, _BLEND = registry.named("popularity").bundle, registry.named("ensemble").bundle


@dataclass(frozen=True, eq=False)
class SurfaceRecommender:
    """How the lists of one surface are made. Items are rows 0..m-1 of `catalogue`.

    owners, items: all entities of either kind. catalogue: (m,) item rows that may be shown.
    scorers: every enabled source with a bundle. item_recency, item_popularity: (m,). facets: (m,) codes by FACETS.
    ranker: None if off. as_of_us: cutoff of the catalogue. folds: fold-in by source.
    evidence: further features of the learned ranker; None without the bundle "activity_v1". wanted: its demand-weighted
    sources. whole: see `Features`, by the ranker's `names`.
    """

    surface: Surface
    settings: Settings
    owners: Entities
    items: Entities
    catalogue: NDArray[np.int32]
    scorers: Mapping[Source, Scorer]
    popular: PopularScorer
    blend: Blend
    ranker: Ranker | LearnedRanker | None
    item_recency: NDArray[np.float32]
    item_popularity: NDArray[np.float32]
    facets: Mapping[str, NDArray[np.int32]]
    as_of_us: int
    evidence: RankerInputs | None = None
    wanted: tuple[tuple[Source, Scorer], ...] = ()
    folds: Mapping[Source, FoldIn] = field(default_factory=dict)
    whole: Mapping[tuple[str, ...], Mapping[str, Part]] = field(default_factory=dict)

    def batch(
        self, rows: NDArray[np.integer[Any]], interactions: Interactions, text: Sequence[str] | None = None
    ) -> Owners:
        """Make the owners of these entity rows.

        interactions: users x startups before the cutoff, by entity rows.
        text: profile texts of owners created after the cutoff, blank for others.
        """
        mine = interactions if self.surface.owner is Entity.USER else interactions.transposed()
        mask = np.zeros(len(self.owners), bool)
        mask[rows] = True
        mine = mine.where(mask[mine.owner])
        history = mine.csr()[rows][:, self.catalogue].tocsr()
        return Owners(
            rows.astype(np.int32),
            self.owners.count[rows],
            self.owners.opted_out[rows],
            history,
            self._barred(mine, rows),
            None if text is None else tuple(text),
            age=self._age(mine)[rows][:, self.catalogue].tocsr(),
            kinds=_of_interest(mine.kinds()[rows][:, self.catalogue], history),
        )

    def unseen_owner(
        self,
        count: int,
        history: sparse.csr_matrix,
        barred: sparse.csr_matrix,
        text: str,
        opted_out: bool = False,
        row: int = -1,
        events: Interactions | None = None,
    ) -> Owners:
        """Make a batch of one owner who is unseen, or (row given) has new events.

        history, barred: (1, m). events: those of the history, one owner x all items.
        """
        age = None if events is None else self._age(events)[:, self.catalogue].tocsr()
        kinds = None if events is None else _of_interest(events.kinds()[:, self.catalogue], history)
        return Owners(
            np.array([row], np.int32),
            np.array([count], np.int32),
            np.array([opted_out]),
            history,
            barred,
            (text,),
            age,
            kinds,
        )

    def with_fold_in(self, owners: Owners, events: Interactions) -> SurfaceRecommender:
        """Fold in events that the models were not trained on, for a batch of one owner.

        events: all events of the owner, one owner x all items. Without new events it returns itself.
        """
        if not len(events) or (owners.row[0] >= 0 and int(events.at.max()) < self.as_of_us):
            return self
        scorers = dict(self.scorers)
        for source, fold in self.folds.items():
            vector = fold.vector(owners, events, self.as_of_us)
            scorer = scorers[source]
            if vector is not None and isinstance(scorer, FactorScorer):
                scorers[source] = scorer.with_vector(vector)
        return replace(self, scorers=scorers)

    def with_new_interactions(self, owners: Owners, events: Interactions) -> SurfaceRecommender:
        """Fold in new events for a batch of known owners: new vectors replace those of their rows.

        events: all events of these owners, all owner rows x all items. Each owner costs one small linear system.
        """
        order = np.argsort(events.owner, kind="stable")
        bounds = np.searchsorted(events.owner[order], np.stack([owners.row, owners.row + 1]))
        found: dict[Source, list[tuple[int, NDArray[Any]]]] = {source: [] for source in self.folds}
        for place, row in enumerate(owners.row.tolist()):
            mine = events.of_owner(row, order[bounds[0, place] : bounds[1, place]])
            if len(mine) and int(mine.at.max()) >= self.as_of_us:
                for source, fold in self.folds.items():
                    vector = fold.vector(owners.part(place, place + 1), mine, self.as_of_us)
                    if vector is not None:
                        found[source].append((row, vector))
        scorers = dict(self.scorers)
        for source, changed in found.items():
            scorer = scorers[source]
            if changed and isinstance(scorer, FactorScorer):
                rows, vectors = zip(*changed, strict=True)
                scorers[source] = scorer.with_rows(np.array(rows), np.stack(vectors))
        return replace(self, scorers=scorers)

    def unseen_owners(self, texts: Sequence[str]) -> Owners:
        """Make a batch of unseen owners who have only profile texts."""
        n, nothing = len(texts), sparse.csr_matrix((len(texts), len(self.catalogue)), dtype=np.float32)
        return Owners(
            np.full(n, -1, np.int32),
            np.zeros(n, np.int32),
            np.zeros(n, bool),
            nothing,
            nothing.astype(bool),
            tuple(texts),
        )

    def age_days(self, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return (b,) days since each owner was created; 0 if unknown or after the cutoff."""
        created = np.where(rows >= 0, self.owners.created_at[rows], self.as_of_us)
        days = np.maximum(self.as_of_us - np.maximum(created, 0), 0) / 86_400e6
        return np.where(created > 0, days, 0).astype(np.float32)

    def _age(self, mine: Interactions) -> sparse.csr_matrix:
        """Return (owners, items) age of each pair's last positive event, by the release's clock."""
        if self.evidence is None:
            return sparse.csr_matrix((len(mine.owners), len(mine.items)), dtype=np.float32)
        liked = mine.where(mine.kind != EventType.DISLIKE.code)
        order = np.lexsort((liked.at, liked.item, liked.owner))
        owner, item = liked.owner[order], liked.item[order]
        last = np.append((owner[1:] != owner[:-1]) | (item[1:] != item[:-1]), np.ones(min(len(owner), 1), bool))
        cells = (self.evidence.clock.age(liked.at[order][last]), (owner[last], item[last]))
        return sparse.csr_matrix(cells, shape=(len(mine.owners), len(mine.items)))

    def _barred(self, mine: Interactions, rows: NDArray[np.integer[Any]]) -> sparse.csr_matrix:
        """Return seen pairs (views by setting), dislikes, dismissals, and founders' own startups."""
        barred = (mine.barred(self.settings.lists.views_are_seen) + self._own())[rows][:, self.catalogue].tocsr()
        barred.sort_indices()
        return barred

    def _own(self) -> sparse.csr_matrix:
        """Return (owners, items) bool: founders and their startups."""
        startups = self.items if self.items.entity is Entity.STARTUP else self.owners
        startup = np.flatnonzero(startups.founder >= 0)
        pair = (startups.founder[startup], startup)
        owner, item = pair if self.owners.entity is Entity.USER else pair[::-1]
        return sparse.csr_matrix(
            (np.ones(len(startup), bool), (owner, item)), shape=(len(self.owners), len(self.items))
        )


def open_bundles(
    root: Path, versions: Mapping[str, str], settings: Settings, lenient: bool = False
) -> dict[str, Bundle]:
    """Open the bundles of a release in artefact directory `root`. Pinned paths take precedence (M04).

    lenient: skip bundles that cannot be opened, except required ones (P09).
    Raises BundleNotFound or BundleCorrupt.
    """
    pins, required = registry.pins(settings), registry.required()
    bundles = {}
    for name, version in versions.items():
        try:
            bundles[name] = open_bundle(name, Path(pins.get(name) or root / "bundles" / name / version))
        except BundleError:
            if not lenient or name in required:
                raise
    return bundles


def _popularity(bundles: Mapping[str, Bundle], name: str, items: Entities) -> NDArray[np.float32]:
    """Return (n,) one array of "popularity_v1". Older bundles have popularity only."""
    array = f"{items.entity}_{name}"
    found = array if array in bundles[_POPULARITY].arrays else f"{items.entity}_popularity"
    return aligned(bundles[_POPULARITY], found, items.entity.value, items.ids)


def open_recommender(
    surface: Surface, bundles: Mapping[str, Bundle], settings: Settings, keep: Keep = np.asarray
) -> SurfaceRecommender:
    """Align all bundles with the catalogue's entities and the items of this surface.

    keep: returns the array to hold in place of a large aligned one, such as a memory-mapped copy.
    """
    entities = entities_of(bundles[CATALOGUE])
    owners, items = entities[surface.owner], entities[surface.item]
    rows = items.items_of(surface)
    popularity = _popularity(bundles, "popularity", items)[rows]
    as_of_us = int(bundles[CATALOGUE].config["as_of_us"])
    sides = Sides(surface, owners, items, rows, keep)
    scorers = open_scorers(bundles, settings, sides)
    evidence = RankerInputs.from_bundle(bundles[ACTIVITY], sides) if ACTIVITY in bundles else None
    return SurfaceRecommender(
        surface,
        settings,
        owners,
        items,
        rows,
        scorers={s.source: s for s in scorers},
        popular=PopularScorer(_popularity(bundles, "recent", items)[rows], popularity),
        blend=Blend(settings.of(EnsembleConfig), bundles.get(_BLEND)),
        ranker=open_ranker(surface, bundles, settings, [s.source for s in scorers]),
        item_recency=recency(items.created_at[rows], as_of_us, settings.of(RulesConfig).recency_days),
        item_popularity=popularity,
        facets={f: items.facets[f][rows] for f in items.facets},
        as_of_us=as_of_us,
        evidence=evidence,
        wanted=() if evidence is None else tuple(demand_weighted(surface, scorers, evidence)),
        folds=open_fold_ins(bundles, scorers, sides),
    )


def with_settings(recipe: SurfaceRecommender, bundles: Mapping[str, Bundle], settings: Settings) -> SurfaceRecommender:
    """Make a recommender of the same models with other settings of phase SERVE, such as an arm's.

    It shares all arrays, and where possible the learned ranker, so that an arm costs no memory.
    """
    scorers = {
        source: scorer for source, scorer in recipe.scorers.items() if is_enabled(source, recipe.surface, settings)
    }
    deciding = ("ranker", "candidate_sources")
    same = len(scorers) == len(recipe.scorers) and all(settings.value(f) == recipe.settings.value(f) for f in deciding)
    kept = same and isinstance(recipe.ranker, LearnedRanker)
    return replace(
        recipe,
        settings=settings,
        scorers=scorers,
        folds={source: fold for source, fold in recipe.folds.items() if source in scorers},
        blend=Blend(settings.of(EnsembleConfig), bundles.get(_BLEND)),
        ranker=recipe.ranker if kept else open_ranker(recipe.surface, bundles, settings, list(scorers)),
        item_recency=recency(
            recipe.items.created_at[recipe.catalogue], recipe.as_of_us, settings.of(RulesConfig).recency_days
        ),
    )


def _of_interest(kinds: sparse.csr_matrix, history: sparse.csr_matrix) -> sparse.csr_matrix:
    found = kinds.multiply((history > 0).astype(np.uint16)).tocsr().astype(np.uint16)
    found.sort_indices()
    return found


def diversity_facets(recipe: SurfaceRecommender, item: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
    """Return codes of DIVERSITY_FACETS for catalogue rows of any shape."""
    return {f: recipe.facets[f][item] for f in DIVERSITY_FACETS}


def unserved(name: str, settings: Settings) -> str:
    """Return why no list can use a bundle: a switch that is off in every arm; empty if one can."""
    reasons = [_unread(registry.named(name), own) for own in with_arms(settings)]
    return reasons[0] if all(reasons) else ""


def _unread(spec: ModelSpec, settings: Settings) -> str:
    if off := " and ".join(spec.off(settings)):
        return f"{off} off: nothing is blended" if spec.stage is Stage.BLEND else f"{off} is off: nothing would read it"
    if spec.bundle in (LEARNED, STACKED, ACTIVITY) and (idle := _unlearned(settings)):
        return idle
    kind = settings.of(RankerConfig).kind
    if spec.stage is Stage.RANKER and kind not in ("auto", spec.kind):
        return f"[ranker] kind is {kind}: nothing would read it"
    return _unblended(settings) if spec.stage is Stage.BLEND else ""


def _unlearned(settings: Settings) -> str:
    """Return why the learned and the stacked ranker, and the facts that only they use, would never serve."""
    ranker = settings.of(RankerConfig)
    if ranker.kind not in ("auto", "learned", "stacked"):
        return f"[ranker] kind is {ranker.kind}: nothing would read it"
    if settings.lists.candidate_sources != "union":
        return f"[lists] candidate_sources is {settings.lists.candidate_sources}: the learned ranker never serves"
    return "" if ranker.cuts else "[ranker] cuts is 0: the learned ranker has no training samples"


def _unblended(settings: Settings) -> str:
    ensemble = settings.of(EnsembleConfig)
    if ensemble.blend == "learned" or blend_is_auto(ensemble):
        return ""
    return f"[ensemble] blend is {ensemble.blend}, and its weights stand: nothing is to be chosen"
