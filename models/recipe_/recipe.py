"""What stays the same for all owners of a surface: who may be shown, who scores, how it is blended and ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from models.errors import BundleError
from models.features import DIVERSITY_FACETS, recency
from models.nouns.bundle import Bundle, open_bundle
from models.nouns.catalogue import CATALOGUE, entities_of
from models.nouns.entities import Entities
from models.nouns.id_map import IdMap
from models.nouns.interactions import Interactions
from models.nouns.owners import Owners
from models.nouns.vocabulary import Entity, InteractionKind, Source, Surface
from models.scorers import Scorer
from models.scorers.blending import Blend
from models.scorers.content import ContentScorer
from models.scorers.factors import FactorScorer
from models.scorers.neighbours import NeighbourScorer
from models.scorers.popularity import PopularScorer
from models.scorers.ranker import MlpRanker, Ranker, RuleRanker
from models.scorers.tower import TowerScorer
from models.settings import Settings

#: A release cannot be made without these; without any other bundle its source abstains (B09, A22).
REQUIRED = (CATALOGUE, "popularity_v1")


@dataclass(frozen=True, eq=False)
class Recipe:
    """How the lists of one surface are made. Items are positions 0..m-1 in `catalogue`.

    owners, items: everybody on either side. catalogue: (m,) int32 item rows that may be shown. scorers: every source
    that has a bundle and is switched on. item_recency, item_popularity: (m,) float32. facets: (m,) codes by FACETS.
    ranker: None when the ranker is off. as_of_us: the cutoff of the catalogue.
    """

    surface: Surface
    settings: Settings
    owners: Entities
    items: Entities
    catalogue: np.ndarray
    scorers: Mapping[Source, Scorer]
    popular: PopularScorer
    blend: Blend
    ranker: Ranker | None
    item_recency: np.ndarray
    item_popularity: np.ndarray
    facets: Mapping[str, np.ndarray]
    as_of_us: int

    def batch(self, rows: np.ndarray, interactions: Interactions) -> Owners:
        """The owners of these entity rows. interactions: users x startups before the cutoff, by entity rows."""
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
        )

    def stranger(
        self,
        count: int,
        history: sparse.csr_matrix,
        barred: sparse.csr_matrix,
        text: str,
        opted_out: bool = False,
        row: int = -1,
    ) -> Owners:
        """A batch of one who is not in the entities, or (row given) has done more since. history, barred: (1, m)."""
        return Owners(
            np.array([row], np.int32), np.array([count], np.int32), np.array([opted_out]), history, barred, (text,)
        )

    def age_days(self, rows: np.ndarray) -> np.ndarray:
        """(b,) float32 days since each owner was created, 0 where unknown."""
        created = np.where(rows >= 0, self.owners.created_at[rows], self.as_of_us)
        days = (self.as_of_us - np.maximum(created, 0)) / 86_400e6
        return np.where(created > 0, days, 0).astype(np.float32)

    def _barred(self, mine: Interactions, rows: np.ndarray) -> sparse.csr_matrix:
        """Seen pairs (views by setting), dislikes, and what is the owner's own."""
        seen = mine if self.settings.views_are_seen else mine.where(mine.kind != InteractionKind.VIEW.code)
        barred = (seen.pairs() + mine.disliked() + self._own())[rows][:, self.catalogue].tocsr()
        barred.sort_indices()
        return barred

    def _own(self) -> sparse.csr_matrix:
        """(owners, items) bool: a founder and their startup."""
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
    """Open the bundles of a release below artefact directory `root`; pinned paths win (M04).

    lenient: leave out what cannot be opened, except REQUIRED ones (P09); else raise BundleNotFound or BundleCorrupt.
    """
    pins = {"als_v1": settings.als_model_path, "two_tower_v1": settings.two_tower_model_path}
    bundles = {}
    for name, version in versions.items():
        try:
            bundles[name] = open_bundle(name, Path(pins.get(name) or root / "bundles" / name / version))
        except BundleError:
            if not lenient or name in REQUIRED:
                raise
    return bundles


def open_recipe(surface: Surface, bundles: Mapping[str, Bundle], settings: Settings) -> Recipe:
    """Align every bundle with the catalogue's entities and restrict it to what this surface may show."""
    entities = entities_of(bundles[CATALOGUE])
    owners, items = entities[surface.owner], entities[surface.item]
    rows = items.items_of(surface)
    popularity = _aligned(bundles["popularity_v1"], f"{items.entity}_popularity", items.entity.value, items.ids)[0][
        rows
    ]
    as_of_us = int(bundles[CATALOGUE].config["as_of_us"])
    return Recipe(
        surface,
        settings,
        owners,
        items,
        rows,
        scorers={s.source: s for s in _scorers(surface, bundles, settings, owners, items, rows)},
        popular=PopularScorer(popularity),
        blend=Blend(settings, bundles.get("ensemble_v1")),
        ranker=_ranker(surface, bundles, settings),
        item_recency=recency(items.created_at[rows], as_of_us, settings.recency_days),
        item_popularity=popularity,
        facets={f: items.facets[f][rows] for f in items.facets},
        as_of_us=as_of_us,
    )


def _ranker(surface: Surface, bundles: Mapping[str, Bundle], settings: Settings) -> Ranker | None:
    """The trained one where there is one and, unless asked for by name, where it passed (its config says where)."""
    if settings.ranker == "off":
        return None
    if settings.ranker != "rules" and "ranker_v1" in bundles:
        bundle = bundles["ranker_v1"]
        if settings.ranker == "mlp" or surface.value in bundle.config.get("surfaces", [surface.value]):
            return MlpRanker.of(bundle)
    return RuleRanker.of(settings)


def _scorers(
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
        b = bundles["content_v1"]
        mine, known = _aligned(b, f"{owners.entity}_vectors", owners.entity.value, owners.ids)
        theirs, shown = _aligned(b, f"{items.entity}_vectors", items.entity.value, items.ids)
        found.append(
            ContentScorer(
                Source.CONTENT_BASED,
                mine,
                known & mine.any(axis=1),
                theirs[rows],
                (shown & theirs.any(axis=1))[rows],
                b.arrays["tokens"],
                b.arrays["token_vectors"],
            )
        )
    als = "als_v1" if forward else "als_reverse_v1"
    if settings.enable_als and als in bundles:
        found.append(
            _factors(Source.ALS if forward else Source.ALS_REVERSE, bundles[als], ("user", "item"), owners, items, rows)
        )
    if settings.enable_two_tower and "two_tower_v1" in bundles:
        b, order = bundles["two_tower_v1"], ("user", "item") if forward else ("item", "user")
        if "tokens" in b.arrays:
            mine, known = _aligned(b, f"{order[0]}_factors", order[0], owners.ids)
            theirs, shown = _aligned(b, f"{order[1]}_factors", order[1], items.ids)
            found.append(
                TowerScorer(
                    surface, b, mine, known & mine.any(axis=1), theirs[rows], (shown & theirs.any(axis=1))[rows]
                )
            )
        else:  # trained before strangers' words were stored
            found.append(_factors(Source.TWO_TOWER, b, order, owners, items, rows))
    neighbours = "item_neighbours_v1" if forward else "item_neighbours_reverse_v1"
    if neighbours in bundles:
        found.append(NeighbourScorer(_similarity(bundles[neighbours], items.ids, rows)))
    return found


def _factors(
    source: Source, bundle: Bundle, order: tuple[str, str], owners: Entities, items: Entities, rows: np.ndarray
) -> FactorScorer:
    mine, known = _aligned(bundle, f"{order[0]}_factors", order[0], owners.ids)
    theirs, shown = _aligned(bundle, f"{order[1]}_factors", order[1], items.ids)
    # a row of zeros is somebody of whom nothing was learned: the model abstains for them
    return FactorScorer(
        source, mine, known & mine.any(axis=1), np.ascontiguousarray(theirs[rows]), (shown & theirs.any(axis=1))[rows]
    )


def _aligned(bundle: Bundle, array: str, ids: str, wanted: IdMap) -> tuple[np.ndarray, np.ndarray]:
    """The rows of an array in the order of `wanted`, zero where the bundle does not know the id; and which it knows."""
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


def diversity_facets(recipe: Recipe, item: np.ndarray) -> dict[str, np.ndarray]:
    """Codes of DIVERSITY_FACETS for catalogue positions of any shape."""
    return {f: recipe.facets[f][item] for f in DIVERSITY_FACETS}
