"""Makes lists of similar startups and of similar people from common partners and content.

score = cosine of common partners x (1 + number of the item's partners) ^ popularity + weight x cosine of profiles

An entity without events has content only. A list is never padded with popular items. Scores are relative to the best of
the list. Weights and their evidence: docs/decisions/0054-similar-lists.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.content import CONTENT_BASED
from models.data.batch import MASK, indptr_of
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.item_neighbours import ITEM_NEIGHBOURS
from models.list_version import SIMILAR_BUNDLES
from models.lists.ranked_lists import RankedLists
from models.lists.reasons import packed
from models.recommender.leaves import Leaves
from models.schema import FACET_REASONS, PEOPLE_LEAST, REASONS, Entity, Method, Role, Similar
from models.scoring.factors import embed
from models.scoring.scorer import Rows, rows_in, some
from models.scoring.top_k import Float32Product, Product, best_of, on_grid, pair_scores, top_k
from models.settings.settings import Settings
from models.similar import SimilarConfig

#: Items with the most similar profiles that are looked at, besides those with common partners.
PROPOSED = 100
#: A smaller cosine of two profiles is noise.
LEAST = np.float32(0.1)
CHUNK = 128


@dataclass(frozen=True, eq=False)
class Partners:
    """A bundle of neighbours, seen from the entities.

    place: (n,) its row of each entity, -1 if it lacks it. row: (k,) the entity of each of its rows, -1 for none.
    """

    bundle: Bundle
    place: NDArray[np.int32]
    row: NDArray[np.int32]

    @classmethod
    def of(cls, bundle: Bundle, entities: Entities) -> Partners:
        ids = bundle.maps["item"]
        return cls(bundle, ids.find(entities.ids.packed()), entities.ids.find(ids.packed()))

    def cells(
        self, rows: NDArray[np.int32], prefix: str = ""
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[Any]]:
        """Return the stored cells of (b,) entity rows: the number of each in the batch, entity row, value."""
        arrays = self.bundle.arrays
        place = np.where(rows >= 0, self.place[rows], -1)
        at = np.flatnonzero(place >= 0)
        indptr = arrays[f"{prefix}indptr"]
        start = np.asarray(indptr[place[at]], np.int64)
        length = np.asarray(indptr[place[at] + 1], np.int64) - start
        flat = np.arange(int(length.sum())) + np.repeat(start - (np.cumsum(length) - length), length)
        row = self.row[arrays[f"{prefix}indices"][flat]]
        return np.repeat(at, length)[row >= 0], row[row >= 0], arrays[f"{prefix}data"][flat][row >= 0]


@dataclass(frozen=True, eq=False)
class Content:
    """Profiles in one space. vectors: (n, d) of the entities. known: (n,). tokens, token_vectors: of new texts."""

    vectors: Rows
    known: NDArray[np.bool_]
    tokens: NDArray[np.str_]
    token_vectors: NDArray[np.float32]

    @classmethod
    def of(cls, bundle: Bundle, entities: Entities) -> Content:
        name = entities.entity.value
        vectors = rows_in(bundle, f"{name}_vectors", name, entities.ids)
        return cls(vectors, some(vectors), bundle.arrays["tokens"], bundle.arrays["token_vectors"])

    def of_text(self, text: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the vector of a new profile, (1, d), and whether it is known, (1,)."""
        return embed([text.split()], self.tokens, self.token_vectors)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A batch of b owners. row: (b,) entity rows, -1 for a newcomer. vectors: (b, d). known: (b,) with a vector."""

    row: NDArray[np.int32]
    vectors: NDArray[np.float32]
    known: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Leaf:
    """Items whose profiles are compared with each other. item: (m,) entity rows. product: of their vectors."""

    item: NDArray[np.int32]
    product: Product | None


_NO_LEAF = _Leaf(np.zeros(0, np.int32), None)


@dataclass(frozen=True, eq=False)
class Pool:
    """Entities that may be in each other's lists: all startups, or the people of one role.

    member: (n,) bool, has a list. listed: (n,) bool, may be in lists.
    """

    member: NDArray[np.bool_]
    listed: NDArray[np.bool_]
    content: Content | None

    @cached_property
    def leaves(self) -> Leaves:
        """Return the members with profiles, divided where they are many."""
        assert self.content is not None
        return Leaves.of(self.content.vectors, np.flatnonzero(self.member & self.content.known).astype(np.int32))

    def leaf(self, number: int) -> _Leaf:
        assert self.content is not None
        item = self.leaves.rows[number]
        item = item[self.listed[item]]
        return _Leaf(item, Float32Product(on_grid(self.content.vectors[item])) if len(item) else None)


class SimilarRecommender:
    """Makes the similar lists of one kind. Immutable."""

    def __init__(self, kind: Similar, entities: Entities, bundles: Mapping[str, Bundle], config: SimilarConfig) -> None:
        neighbours, content = (bundles.get(name) for name in SIMILAR_BUNDLES[kind])
        self.kind, self.entities, self._config = kind, entities, config
        self._partners = None if neighbours is None else Partners.of(neighbours, entities)
        self._content = None if content is None else Content.of(content, entities)
        self._demand = ((1 + entities.count) ** np.float64(config.popularity)).astype(np.float32)
        everybody, items = (np.zeros(len(entities), bool) for _ in range(2))
        everybody[entities.owners_of(kind)], items[entities.items_of(kind)] = True, True
        roles = tuple(Role) if kind.owner is Entity.USER else (None,)
        self._pools = {
            role: Pool(everybody & mine, items & mine, self._content)
            for role in roles
            for mine in [np.ones(len(entities), bool) if role is None else entities.role == role.code]
        }

    def lists(self, rows: NDArray[np.int32], threads: int = 1) -> RankedLists:
        """Return the lists of (b,) ascending entity rows. Those who opted out get an empty one."""
        with ThreadPoolExecutor(threads) as pool:
            parts = [part for some_pool in self._pools.values() for part in self._of_pool(some_pool, rows, pool)]
        if not parts:
            return RankedLists.nothing(rows[:0])
        found = RankedLists.concat(parts)
        return found.take(np.argsort(found.owner, kind="stable"))

    def newcomer(self, role: Role | None, text: str, count: int = 0) -> RankedLists:
        """Return the list of one entity that the release lacks, by its profile's tokens."""
        pool = self._pools.get(role)
        if pool is None or self._content is None:
            return RankedLists.nothing(np.array([-1], np.int32), count)
        vector, known = self._content.of_text(text)
        leaf = pool.leaf(pool.leaves.of_vector(vector[0])) if known[0] and pool.leaves.rows else _NO_LEAF
        found = self._chunk(pool, leaf, _Asked(np.array([-1], np.int32), on_grid(vector), known))
        return replace(found, count=np.array([count], np.int32))

    def _of_pool(self, pool: Pool, rows: NDArray[np.int32], threads: ThreadPoolExecutor) -> Iterator[RankedLists]:
        mine = rows[pool.member[rows]]
        away = self.entities.opted_out[mine]
        if away.any():
            yield RankedLists.nothing(mine[away], self.entities.count[mine[away]])
            mine = mine[~away]
        number = np.full(len(mine), -1) if self._content is None else pool.leaves.number[mine]
        for n in np.unique(number).tolist():
            leaf, some_rows = _NO_LEAF if n < 0 else pool.leaf(n), mine[number == n]
            parts = (some_rows[start : start + CHUNK] for start in range(0, len(some_rows), CHUNK))
            yield from threads.map(lambda part, leaf=leaf: self._chunk(pool, leaf, self._asked(part)), parts)

    def _asked(self, rows: NDArray[np.int32]) -> _Asked:
        if self._content is None:
            return _Asked(rows, np.zeros((len(rows), 1), np.float32), np.zeros(len(rows), bool))
        return _Asked(rows, on_grid(self._content.vectors[rows]), self._content.known[rows])

    def _chunk(self, pool: Pool, leaf: _Leaf, asked: _Asked) -> RankedLists:
        n = len(self.entities)
        at, item, cosine = self._by_partners(pool, asked)
        other_at, other = self._by_content(leaf, asked)
        key = np.unique(np.concatenate([at * n + item, other_at * n + other]))
        owner, row = np.divmod(key, max(n, 1))
        common, alike = np.zeros(len(key), np.float32), self._alike(asked, owner, row)
        common[np.searchsorted(key, at * n + item)] = cosine
        common *= self._demand[row]
        alike *= np.float32(self._config.content)
        score = common + alike
        kept = score > 0
        best = best_of(len(asked.row), owner[kept], row[kept], score[kept], self._config.depth)
        place = np.searchsorted(key, best.owner.astype(np.int64) * n + best.item)
        first = best.score[np.minimum(best.indptr[:-1], max(len(best.score) - 1, 0))] if len(best.score) else best.score
        common, alike = common[place], alike[place]
        with_partners = np.bincount(best.owner[common > 0], minlength=len(best)) > 0
        short = (np.diff(best.indptr) > 0) & ~with_partners
        method = np.where(short, Method.CONTENT_BASED.code, Method.SIMILAR.code).astype(np.uint8)
        source = (common > 0) * ITEM_NEIGHBOURS.bit | (alike > 0) * CONTENT_BASED.bit
        lead = np.where(common >= alike, ITEM_NEIGHBOURS.code, CONTENT_BASED.code)
        return RankedLists(
            owner=asked.row,
            method=method,
            route=method,
            count=np.where(asked.row >= 0, self.entities.count[asked.row], 0).astype(np.int32),
            ranker=np.zeros(len(best), np.uint8),
            indptr=best.indptr,
            item=best.item,
            score=best.score / first[best.owner] if len(best.score) else best.score,
            source=source.astype(MASK),
            reason=self._reasons(asked, best.owner.astype(np.int64), best.item, lead),
        )

    def _by_partners(
        self, pool: Pool, asked: _Asked
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return owner, item row and cosine of items with common partners."""
        if self._partners is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
        at, row, cosine = self._partners.cells(asked.row)
        shown = pool.listed[row]
        return at[shown], row[shown].astype(np.int64), np.asarray(cosine[shown], np.float32)

    def _by_content(self, leaf: _Leaf, asked: _Asked) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return owner and item row of the items with the most similar profiles."""
        if leaf.product is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        place = np.searchsorted(leaf.item, asked.row)
        there = place < len(leaf.item)
        there[there] = leaf.item[place[there]] == asked.row[there]
        own = sparse.csr_matrix(
            (np.ones(int(there.sum()), bool), place[there], indptr_of(there.astype(np.int64))),
            shape=(len(asked.row), len(leaf.item)),
        )
        found = top_k(asked.vectors, leaf.product, own, PROPOSED)
        close = asked.known[found.owner] & (found.score >= LEAST)
        return found.owner[close].astype(np.int64), leaf.item[found.item[close]].astype(np.int64)

    def _alike(self, asked: _Asked, owner: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the cosine of two profiles of each pair, 0 below LEAST or without one of them."""
        result = np.zeros(len(row), np.float32)
        if self._content is None:
            return result
        both = np.flatnonzero(asked.known[owner] & self._content.known[row])
        items, place = np.unique(row[both], return_inverse=True)
        theirs = on_grid(self._content.vectors[items])
        cosine = pair_scores(asked.vectors, theirs, owner[both], place.astype(np.int64))
        result[both] = np.where(cosine >= LEAST, cosine, 0)
        return result

    def _reasons(
        self, asked: _Asked, at: NDArray[np.int64], item: NDArray[np.int32], lead: NDArray[np.int64]
    ) -> NDArray[np.uint32]:
        facet = self._shared_facet(asked.row[at], item)
        event, people = self._common_people(asked, at, item)
        return packed(facet, np.zeros(len(item), np.int64), (facet >= 0) * 1, event, people, lead, np.zeros_like(facet))

    def _shared_facet(self, owner: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return (n,) the code of the rarest value that both have, -1 for none. Of equal ones the last wins."""
        found, best = np.full(len(item), -1), np.zeros(len(item))
        for name in FACET_REASONS:
            codes, rarity = self.entities.facets[name], self._rarity[name]
            mine = np.where(owner >= 0, codes[owner], -1)
            better = (mine >= 0) & (mine == codes[item])
            better[better] = rarity[mine[better]] >= np.maximum(best[better], 1e-9)
            found[better], best[better] = REASONS[name], rarity[mine[better]]
        return found

    @cached_property
    def _rarity(self) -> dict[str, NDArray[np.float64]]:
        """Return by facet the negative logarithm of each value's share."""
        found = {}
        for name in FACET_REASONS:
            codes = self.entities.facets[name]
            number = np.bincount(codes[codes >= 0])
            found[name] = -np.log(np.maximum(number, 1) / max(len(codes), 1))
        return found

    def _common_people(
        self, asked: _Asked, at: NDArray[np.int64], item: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return event type and number of people who engaged with owner and item, 0 below PEOPLE_LEAST.

        Startups only: between people it would say what one named person did.
        """
        event, people = np.zeros(len(item), np.int64), np.zeros(len(item), np.int64)
        if self._partners is None or "people_indptr" not in self._partners.bundle.arrays:
            return event, people
        owner, row, cell = self._partners.cells(asked.row, "people_")
        if not len(row):
            return event, people
        n = len(self.entities)
        key = owner * n + row
        order = np.argsort(key)
        wanted = at * n + item
        place = order[np.minimum(np.searchsorted(key, wanted, sorter=order), len(key) - 1)]
        number = np.where(key[place] == wanted, cell[place].astype(np.int64), 0)
        number[(number & 0xFF) < PEOPLE_LEAST] = 0
        return number >> 8, number & 0xFF


def open_similar(kind: Similar, bundles: Mapping[str, Bundle], settings: Settings) -> SimilarRecommender:
    """Open the similar lists of one kind. Without neighbours or content, the other decides alone."""
    return SimilarRecommender(kind, entities_of(bundles[CATALOGUE])[kind.owner], bundles, settings.similar)
