"""Choose the blend of the ensemble on the validation split, over training owners.

The weights of the settings (0.6 ALS, 0.4 two-tower) stay unless another blend is clearly better, with a correction
for several blends (`models.metrics.intervals`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.als import ALS
from models.data.batch import Candidates
from models.data.bundle import Bundle
from models.ensemble import EnsembleConfig
from models.ensemble.fit import BLEND, fit_blend
from models.ensemble.scorer import PROFILES, Blend
from models.errors import TrainingError
from models.metrics.intervals import ONE_ERROR, SURE, Choice, choose
from models.ranker import RankerConfig
from models.recommender.candidates import answering_method, candidates_of
from models.recommender.recommend import CHUNK
from models.routing import route
from models.schema import Entity, Method, Surface
from models.settings.settings import Settings
from models.two_tower import TWO_TOWER
from pipelines.report.figure_names import MEAN, RANKED, ROUTE, RULES, STACK, TAUGHT
from pipelines.train.contenders import contenders, ndcg_each, recipes
from pipelines.train.holdout import Holdout, Outcome
from pipelines.train_ranker.mlp_samples import RankingSet, ranking_set

_LOG = logging.getLogger(__name__)
WEIGHTED, LEARNED_BLEND = "weighted", "learned"
#: By name: the settings of a blend. The profile "balanced" equals the default weights.
BLENDS: Mapping[str, Mapping[str, Any]] = {
    WEIGHTED: {"blend": WEIGHTED},
    **{p: {"blend": WEIGHTED, "profile": p} for p in PROFILES if p != "balanced"},
    "rrf": {"blend": "rrf"},
    "dynamic": {"blend": "dynamic"},
}
#: Minimum hot owners to choose by them alone. With fewer owners in total nothing is chosen.
ENOUGH = 100
_MEMBERS = (ALS, TWO_TOWER)
_ENSEMBLE = Method.ENSEMBLE.code


@dataclass(frozen=True, eq=False)
class BlendScores:
    """NDCG@10 by blend and member, each (n,), of n owners known to both members. hot: (n,) bool."""

    hot: NDArray[np.bool_]
    ndcg: Mapping[str, NDArray[np.float64]]


def choose_blend(holdout: Holdout, about: Mapping[str, Any]) -> Bundle:
    """Return the bundle "ensemble_v1": the learned blend if [ensemble] blend asks for it, else the choice of `auto`.

    config: blend, profile, reason. A choice adds owners, over ("hot" or "known"), ndcg by blend and member, and the
    difference to the weights of the settings. Raises TrainingError if a requested learned blend is refused.
    """
    rows = ranking_set(holdout)
    if holdout.settings.of(EnsembleConfig).blend == LEARNED_BLEND:
        fitted = _learned(rows, holdout.settings, about)
        return replace(
            fitted,
            config={**fitted.config, "blend": LEARNED_BLEND, "profile": "", "reason": "[ensemble] blend asks for it"},
        )
    chosen = choice(_asked(holdout, rows))
    _LOG.info("blend: %s, because %s", chosen["name"], chosen["reason"])
    if chosen["blend"] == LEARNED_BLEND:
        fitted = _learned(rows, holdout.settings, about)
        return replace(fitted, config={**fitted.config, **chosen})
    return Bundle(BLEND, {**about, **chosen}, {})


def choice(asked: BlendScores) -> dict[str, Any]:
    """Return the config of the best blend if it is clearly better than the settings' weights, else of those weights.

    Too few owners keep the weights.
    """
    over = "hot" if asked.hot.sum() >= ENOUGH else "known"
    mask = asked.hot if over == "hot" else np.ones(len(asked.hot), bool)
    owners, stays = int(mask.sum()), {**_named(WEIGHTED), "over": over}
    if owners < ENOUGH:
        reason = f"{owners} owners are known to both ALS and the two-tower model; a choice needs {ENOUGH}"
        return {**stays, "owners": owners, "reason": reason}
    mean = {name: round(float(value[mask].mean()), 6) for name, value in asked.ndcg.items()}
    blends = [name for name in mean if name not in (*(s.name for s in _MEMBERS), WEIGHTED)]
    found = choose({name: asked.ndcg[name][mask] - asked.ndcg[WEIGHTED][mask] for name in blends})
    best = found.taken or str(found.best)
    told = (
        f"NDCG@10 of {best} {mean[best]:.4f}, of the settings' weights {mean[WEIGHTED]:.4f}: difference "
        f"{found.said(best)} over the training owners ({over}), at 95% for {len(blends)} blends together"
    )
    return {
        **(_named(found.taken) if found.taken else stays),
        "over": over,
        "owners": owners,
        "ndcg": mean,
        "best": best,
        "difference": {k: round(v, 6) for k, v in found.gains[best].items()},
        "reason": told + ("" if found.taken else "; the settings' weights stay"),
    }


def _named(name: str) -> dict[str, str]:
    of = {"blend": LEARNED_BLEND} if name == LEARNED_BLEND else BLENDS[name]
    return {"name": name, "blend": of["blend"], "profile": of.get("profile", "")}


def _learned(rows: RankingSet, settings: Settings, about: Mapping[str, Any] | None = None) -> Bundle:
    """Fit the learned blend on the candidates that both models score (C17)."""
    both = np.isfinite(rows.blend).all(axis=1)
    return fit_blend(rows.blend[both], rows.label[both], settings.of(RankerConfig).min_positives, about)


def _asked(holdout: Holdout, rows: RankingSet) -> BlendScores:
    """Score all blends for the training owners on both surfaces of users.

    A learned blend is cross-fitted in two folds by parity of the owner's row.
    """
    config = replace(holdout.settings.of(EnsembleConfig), profile=None)
    plain = {name: Blend(replace(config, **of)) for name, of in BLENDS.items()}
    blends = {name: (blend, blend) for name, blend in plain.items()}
    try:
        odd, even = (_learned(rows.of(rows.owner % 2 == fold), holdout.settings) for fold in (1, 0))
    except TrainingError as error:
        _LOG.info("the learned blend is left out of the choice: %s", error)
    else:
        learned = replace(config, blend=LEARNED_BLEND)
        blends[LEARNED_BLEND] = (Blend(learned, odd), Blend(learned, even))
    parts = [part for s in Surface if s.owner is Entity.USER for part in _of_surface(holdout, s, blends)]
    names = (*blends, *(s.name for s in _MEMBERS))
    blank = [BlendScores(np.zeros(0, bool), {name: np.zeros(0) for name in names})]
    return BlendScores(
        np.concatenate([p.hot for p in parts or blank]),
        {name: np.concatenate([p.ndcg[name] for p in parts or blank]) for name in names},
    )


def _of_surface(holdout: Holdout, surface: Surface, blends: Mapping[str, tuple[Blend, Blend]]) -> Iterator[BlendScores]:
    """Yield scores by chunk. blends: by name the blend for owners of even rows and the one for odd rows."""
    recipe = holdout.recipe(surface, "off", "route")
    recipe = replace(
        recipe,
        scorers={s: recipe.scorers[s] for s in _MEMBERS if s in recipe.scorers},
        settings=recipe.settings.layered({"cold_start_threshold": 0, "warm_user_threshold": 0}, "given"),
    )
    if len(recipe.scorers) < len(_MEMBERS) or not recipe.settings.routing.enable_ensemble:
        return
    owners, outcome = holdout.owners(recipe, teaching=True)
    for start in range(0, len(owners), CHUNK):
        part, truth = owners.part(start, start + CHUNK), outcome.part(start, start + CHUNK)
        found = candidates_of(
            recipe, part, int(np.ceil(recipe.settings.lists.depth * recipe.settings.lists.candidate_multiplier))
        )
        method = answering_method(recipe, part, route(surface, part.count, recipe.settings), found)
        known, age = method == _ENSEMBLE, recipe.age_days(part.row)
        score: dict[str, NDArray[Any]] = {s.name: np.nan_to_num(found.scores[s], nan=-np.inf) for s in _MEMBERS}
        als, tower = (found.scores[s] for s in _MEMBERS)
        for name, blend in blends.items():
            even, *odd = (b(als, tower, found.owner, found.indptr, part.count, age) for b in dict.fromkeys(blend))
            score[name] = np.where((part.row % 2 == 0)[found.owner], even, odd[0]) if odd else even
        yield BlendScores(
            (part.count >= holdout.settings.routing.warm_user_threshold)[known],
            {name: _ndcg(found, value, truth)[known] for name, value in score.items()},
        )


def _ndcg(found: Candidates, score: NDArray[np.float32], truth: Outcome) -> NDArray[np.float64]:
    order = np.lexsort((found.item, -score, found.owner))
    return metrics.ndcg_of(metrics.places(found.indptr, found.item[order]), truth.relevant)


RANKERS = (RULES, RANKED, TAUGHT, STACK, MEAN)
#: Validation owners of a surface.
VALIDATION_OWNERS = 2000


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """The network twice: `even` for owners of even rows, trained on odd rows, and `odd` the other way round."""

    even: Bundle
    odd: Bundle


def cross_fitted(rows: RankingSet, settings: Settings, fit: Callable[[RankingSet, Settings], Bundle]) -> CrossFitted:
    """Fit both networks. Each needs half the minimum positives. Raises TrainingError if one has fewer."""
    half = settings.layered({"ranker_min_positives": max(1, settings.of(RankerConfig).min_positives // 2)}, "given")
    return CrossFitted(*(fit(rows.of(rows.owner % 2 == taught_by), half) for taught_by in (1, 0)))


def ballot_of(
    holdout: Holdout, surface: Surface, network: CrossFitted | None, learned: Bundle | None, alone: bool = True
) -> dict[str, NDArray[np.float64]]:
    """Return NDCG@10, (owners,), of the rules, and of the other RANKERS if there.

    alone: also each source, popularity and random. learned: trained only on data before the temporal validation split.
    """
    recipe = holdout.recipe(surface)
    owners, outcome = holdout.owners(recipe, teaching=True)
    jury = np.arange(min(len(owners), VALIDATION_OWNERS))
    if not len(jury):
        asked = recipes(holdout, surface, None if network is None else network.even, learned)
        return {name: np.zeros(0) for name in RANKERS if name in asked}
    owners, truth = owners.take(jury), outcome.relevant[jury]
    those = contenders(holdout, surface, None if network is None else network.even, learned)
    those = {name: c for name, c in those.items() if name != ROUTE and (alone or name in RANKERS)}
    found = ndcg_each(those, owners, truth, holdout.settings.threads)
    if network is not None:
        odd = {RANKED: contenders(holdout, surface, network.odd)[RANKED]}
        other = ndcg_each(odd, owners, truth, holdout.settings.threads)[RANKED]
        found[RANKED] = np.where(owners.row % 2 == 0, found[RANKED], other)
    return found


def network_choice(ballot: Mapping[str, NDArray[np.float64]]) -> Choice:
    """Choose the network over the stacked ranker, or over the rules, if it is better by one standard error."""
    return choose({RANKED: ballot[RANKED] - ballot[STACK if STACK in ballot else RULES]}, ONE_ERROR)


def small_choice(pooled: Mapping[str, NDArray[np.float64]]) -> tuple[str, str]:
    """Return what serves a small surface, MEAN, STACK, `TAUGHT` or RULES, and the reason.

    The mean of the stacked and the learned ranker is the default: on few data it is near the better one, and nobody
    knows which that is. The learned ranker alone replaces it if it is better by one standard error, because it had
    fewer data at earlier cutoffs. The stacked ranker and the rules replace it only if they are surely better.
    pooled: NDCG@10 over the owners of several cutoffs, NaN where the learned ranker was not trained.
    """
    both = ~np.isnan(pooled[MEAN])
    default, base = (MEAN, np.where(both, pooled[MEAN], pooled[STACK])) if both.any() else (STACK, pooled[STACK])
    serves, figures = default, []
    for name, level in ((TAUGHT, ONE_ERROR), (STACK, SURE), (RULES, SURE)):
        there = ~np.isnan(pooled[name])
        if name == default or not there.any():
            continue
        found = choose({name: (pooled[name] - base)[there]}, level)
        figures.append(f"{name} {pooled[name][there].mean():.4f}, gain {found.said(name)}")
        if found.taken and serves == default:
            serves = name
    if not len(base):
        return default, "no owners to compare it with"
    told = "; ".join([f"NDCG@10 at pooled cutoffs: {default} {base.mean():.4f} over {len(base)} owners", *figures])
    return serves, f"{told}; {serves} serves"


def learned_choice(ballot: Mapping[str, NDArray[np.float64]]) -> Choice:
    """Choose another ranker over the learned one only if it is surely better, for any number of owners.

    The learned ranker is the default because it was better on every real data set so far.
    """
    challengers = {name: ballot[name] - ballot[TAUGHT] for name in (RULES, RANKED) if name in ballot}
    return choose(challengers, SURE, least=2)


def verdict_of(ballot: Mapping[str, NDArray[np.float64]], choice: Choice, name: str) -> tuple[bool, str]:
    """Return whether the network or the learned ranker serves a surface, and the reason."""
    if not choice.owners:
        return False, "no owners to evaluate it"
    serves = (choice.taken is None) == (name == TAUGHT)
    figures = ", ".join(f"{n} {ballot[n].mean():.4f}" for n in dict.fromkeys((name, RULES, *choice.gains)))
    best = choice.taken or choice.best or name
    return serves, (
        f"NDCG@10 {figures}; gain of {best} {choice.said(best)}; {'it serves' if serves else 'it does not serve'}"
    )
