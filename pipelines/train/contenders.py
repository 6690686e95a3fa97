"""Make the contenders of an evaluation: functions from a batch of owners to ten places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from models import registry
from models.data.batch import Owners, Proposal
from models.data.bundle import Bundle
from models.learned_ranker.scorer import LearnedRanker, is_trained
from models.metrics.accuracy import K, ndcg_of, places
from models.mlp_ranker import SPEC as NETWORK
from models.mlp_ranker.scorer import MlpRanker
from models.recommender.recommend import CHUNK, recommend
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Surface
from models.scoring.scorer import Ranker
from models.settings.modes import SEED
from models.settings.settings import Settings
from models.stacked_ranker.scorer import STACKED, StackedRanker
from pipelines.report.figure_names import MEAN, POPULAR, RANDOM, RANKED, ROUTE, RULES, STACK, TAUGHT
from pipelines.train.holdout import Holdout

#: (b,) owners to (b, K) catalogue positions, -1 after a short list. The number seeds random choices.
Contender = Callable[[Owners, int], NDArray[Any]]


def contenders(
    holdout: Holdout, surface: Surface, ranker: Bundle | None, learned: Bundle | None = None
) -> dict[str, Contender]:
    """Return the contenders by name: each source alone, popular, random, the route's list, and ranked candidates.

    The route's list has no ranker and no union. learned: trained only on data before the cut.
    """
    recipe = holdout.recipe(surface)
    alone: dict[str, Contender] = {s.name: _alone(scorer.propose) for s, scorer in recipe.scorers.items()}
    listed = {name: listed_by(r) for name, r in recipes(holdout, surface, ranker, learned).items()}
    chance = {RANDOM: _random(recipe), POPULAR: _alone(recipe.popular.propose)}
    return {**chance, **alone, **listed}


def recipes(
    holdout: Holdout, surface: Surface, ranker: Bundle | None, learned: Bundle | None = None
) -> dict[str, SurfaceRecommender]:
    """Return every contender's recipe by name: ROUTE, RULES, RANKED, `TAUGHT`, STACK, and the MEAN of both."""
    recipe, base = holdout.recipe(surface), holdout.recipe(surface, "off", "route")
    ranked: dict[str, Ranker | LearnedRanker | None] = {RULES: recipe.ranker}
    taught = None
    if learned is not None and is_trained(learned, surface):
        taught = ranked[TAUGHT] = LearnedRanker.from_bundle(learned, surface)
    if ranker is not None:
        ranked[RANKED] = MlpRanker.from_bundle(ranker)
    stacked = holdout.bundles.get(STACKED)
    if stacked is not None and surface.value in stacked.config["surfaces"]:
        silent = {s.name for s in registry.sources()} - {s.name for s in recipe.scorers}
        ranked[STACK] = StackedRanker.of_surface(stacked, surface, silent)
        if taught is not None:
            ranked[MEAN] = StackedRanker.of_surface(stacked, surface, silent, taught)
    return {ROUTE: base, **{name: replace(recipe, ranker=r) for name, r in ranked.items()}}


def seed_recipe(holdout: Holdout, surface: Surface, network: Bundle | None) -> SurfaceRecommender:
    """Return the recipe of the source documents, as [ranking] mode = "seed". network: its own. None: the rules rank."""
    bundles = holdout.bundles if network is None else {**holdout.bundles, NETWORK.bundle: network}
    return open_recommender(surface, bundles, seed_settings(holdout.settings))


def seed_settings(settings: Settings) -> Settings:
    return settings.layered({"ranking_mode": SEED}, "given")


def shown(those: Mapping[str, Contender], owners: Owners, threads: int) -> dict[str, NDArray[np.int64]]:
    """Return each contender's shown lists, (owners, K), independent of the number of threads."""
    starts = range(0, max(len(owners), 1), CHUNK)

    def chunk(start: int) -> dict[str, NDArray[np.int64]]:
        part = owners.part(start, start + CHUNK)
        return {name: contender(part, start) for name, contender in those.items()}

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(chunk, starts))
    return {name: np.concatenate([d[name] for d in done]) for name in those}


def ndcg_each(
    those: Mapping[str, Contender], owners: Owners, truth: sparse.csr_matrix, threads: int
) -> dict[str, NDArray[np.float64]]:
    """Return each contender's NDCG@10, (owners,). truth: (owners, items) relevant pairs of the same owners."""
    return {name: ndcg_of(lists, truth) for name, lists in shown(those, owners, threads).items()}


def _alone(propose: Callable[[Owners, int], Proposal]) -> Contender:
    def contender(owners: Owners, _: int) -> NDArray[np.int64]:
        proposal = propose(owners, K)
        return places(proposal.indptr, proposal.item)

    return contender


def listed_by(recipe: SurfaceRecommender) -> Contender:
    """Return lists as they would be stored, cut at K. The depth decides how many candidates the ranker sees."""

    def contender(owners: Owners, _: int) -> NDArray[np.int64]:
        lists = recommend(recipe, owners, recipe.settings.lists.depth)
        return places(lists.indptr, np.searchsorted(recipe.catalogue, lists.item))

    return contender


def _random(recipe: SurfaceRecommender) -> Contender:
    """Return random allowed items, all with the same chance."""

    def contender(owners: Owners, start: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((recipe.settings.train.seed, start))
        luck = rng.random((len(owners), len(recipe.catalogue)), np.float32)
        barred = owners.barred.tocoo()
        luck[barred.row, barred.col] = -1
        k = min(K, luck.shape[1])
        best = np.argpartition(-luck, k - 1, axis=1)[:, :k] if k else np.zeros((len(owners), 0), np.int64)
        found = np.where(np.take_along_axis(luck, best, 1) >= 0, best, -1)
        return np.pad(found, ((0, 0), (0, K - k)), constant_values=-1)

    return contender
