"""Turn figures into verdicts: go, ask a person, or stop, each with a sentence.

Accuracy: a comparison stops a release if the whole interval of the paired difference is beyond the tolerated loss. It
asks if the interval is below zero and the mean beyond that loss. Intervals are wider than 95 %, because a build makes
about twenty comparisons. The chance of any false alarm is at most CHANCE (Bonferroni 1936), half for overall
comparisons and half for segments.

Lists: shares of all owners or items are not samples, so they have limits "ask/stop". Beyond FAR days between two
cutoffs a drifting check asks instead of stopping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue.catalogue import CATALOGUE
from models.data.batch import Owners
from models.metrics.accuracy import K, ndcg_of, places
from models.metrics.intervals import paired_difference
from models.recommender.surface import SurfaceRecommender
from models.schema import Surface
from models.settings.settings import Settings
from models.settings.tables import Thresholds
from pipelines.evaluate.figures import groups, top_tens
from pipelines.score.caps import capped
from pipelines.score.shards import score_owners
from pipelines.train.holdout import Holdout, Outcome
from pipelines.train_ranker.validation_models import ValidationModels


@dataclass(frozen=True, eq=False)
class Accuracy:
    """NDCG@10 on one surface, (b,) by evaluation owner. live is None without models to evaluate.

    masks: (b,) bool by group: overall, none (no event before the cut), cold, warm, hot.
    """

    new: NDArray[np.float64]
    popular: NDArray[np.float64]
    live: NDArray[np.float64] | None
    masks: Mapping[str, NDArray[np.bool_]]


def accuracy(holdout: Holdout, new: ValidationModels) -> dict[Surface, Accuracy]:
    """Return accuracy on every surface with evaluation owners, without the live release."""
    found = {}
    for surface in Surface:
        recipe = new.recipe(surface, holdout.bundles[CATALOGUE])
        owners, outcome = holdout.owners(recipe, teaching=False)
        if not len(owners):
            continue
        popular = recipe.popular.propose(owners, K)
        masks = {name: mask for name, mask in groups(recipe, owners).items() if name != "known"}
        found[surface] = Accuracy(
            _ndcg(recipe, holdout, owners, recipe.catalogue, outcome),
            ndcg_of(places(popular.indptr, popular.item), outcome.relevant),
            None,
            masks,
        )
    return found


def with_live(
    found: Mapping[Surface, Accuracy], holdout: Holdout, new: ValidationModels, live: ValidationModels
) -> dict[Surface, Accuracy]:
    """Add the live release's accuracy, for the same owners and catalogue."""
    both = {}
    for surface, a in found.items():
        recipe, other = (side.recipe(surface, holdout.bundles[CATALOGUE]) for side in (new, live))
        owners, outcome = holdout.owners(recipe, teaching=False)
        both[surface] = replace(
            a, live=_ndcg(other, holdout, holdout.batch(other, owners.row), recipe.catalogue, outcome)
        )
    return both


def _ndcg(
    recipe: SurfaceRecommender, holdout: Holdout, owners: Owners, catalogue: NDArray[np.int32], outcome: Outcome
) -> NDArray[np.float64]:
    """Return NDCG of the lists as served. catalogue: (m,) item rows of the outcome."""
    lists, multiple = score_owners(recipe, owners), recipe.settings.lists.exposure_cap
    if multiple:  # as the evaluation
        lists = capped(recipe, multiple, lists, score_owners(recipe, holdout.owners(recipe, teaching=True)[0]))
    return ndcg_of(top_tens(lists, catalogue), outcome.relevant)


GO, ASK, STOP = "go", "ask", "stop"
VERDICTS = (GO, ASK, STOP)
OVERALL = "overall"
#: Bootstrap draws of owners, enough for the tails of wide intervals.
DRAWS = 10_000
#: Days between two cutoffs from which nearly all lists may differ.
FAR = 3.0
#: Chance of any false alarm in the accuracy comparisons of a build.
CHANCE = 0.02
#: By check: the setting with its limits, the measure in words, and whether it grows with time between cutoffs.
_LISTS = {
    "overlap_at_10": ("overlap", "of all first ten places are replaced", True),
    "rbo": ("rbo", "less than full rank-biased overlap", True),
    "route_distance": ("routes", "net share of owners changed route or method", True),
    "popular_share": ("popular", "more of the owners get the popular list", False),
    "gini": ("gini", "more inequality of exposure (Gini)", False),
    "coverage": ("coverage", "of the catalogue in the live lists is no longer shown", False),
    "gone_owners": ("gone", "of the owners with a live list would have none", False),
}


@dataclass(frozen=True)
class Check:
    """One check. value, low, high, limit: see gate.json in docs/guides/gate.md."""

    name: str
    surface: str | None
    segment: str | None
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    verdict: str
    says: str


def overall_verdict(checks: Sequence[Check]) -> str:
    return VERDICTS[max((VERDICTS.index(c.verdict) for c in checks), default=0)]


def accuracy_checks(found: Mapping[Surface, Accuracy], settings: Settings) -> Iterator[Check]:
    """Compare NDCG@10 with the live release's models, by surface and segment. Flag implausible gains."""
    pairs = {
        (s, group): (a.new[mask], a.live[mask])
        for s, a in found.items()
        if a.live is not None
        for group, mask in a.masks.items()
    }
    told = [key for key, pair in pairs.items() if len(pair[0]) >= settings.gate.min_owners]
    for (surface, group), pair in pairs.items():
        if (surface, group) not in told:
            yield _too_few("accuracy", surface, group, len(pair[0]))
            continue
        level = _level(sum((g == OVERALL) == (group == OVERALL) for _, g in told))
        d = paired_difference(*pair, times=DRAWS, level=level)
        yield _loss("accuracy", surface, group, pair, d, "the live release", settings)
        if group == OVERALL:
            yield from _gain(surface, pair, d, settings)


def baseline_checks(found: Mapping[Surface, Accuracy], settings: Settings) -> Iterator[Check]:
    told = [s for s, a in found.items() if len(a.new) >= settings.gate.min_owners]
    for surface, a in found.items():
        if surface in told:
            d = paired_difference(a.new, a.popular, times=DRAWS, level=_level(len(told)))
            yield _loss("floor", surface, OVERALL, (a.new, a.popular), d, "popular lists", settings)
        else:
            yield _too_few("floor", surface, OVERALL, len(a.new))


def list_checks(lists: Mapping[str, Mapping[str, Any]], settings: Settings, days: float) -> Iterator[Check]:
    """Check every limit on the differences of lists. lists: see `differences`. days: between the two cutoffs."""
    for surface, d in lists.items():
        if d["owners"] + d["gone_owners"] < settings.gate.min_owners:
            yield _too_few("lists", Surface(surface), OVERALL, d["owners"] + d["gone_owners"])
            continue
        values = {
            "overlap_at_10": _lack(d["overlap_at_10"]),
            "rbo": _lack(d["rbo"]),
            "route_distance": d["route_distance"],
            "popular_share": _rise(d["popular_share"]),
            "gini": _rise(d["gini"]),
            "coverage": _loss_of(d["coverage"]),
            "gone_owners": d["gone_owners"] / max(d["owners"] + d["gone_owners"], 1),
        }
        for name, value in values.items():
            field, words, drifts = _LISTS[name]
            yield _limited(name, surface, value, settings.gate.limits(field), words, drifts and days > FAR)


def _level(comparisons: int) -> float:
    return 1 - CHANCE / 2 / max(comparisons, 1)


def _loss(
    name: str,
    surface: Surface,
    group: str,
    pair: tuple[NDArray[np.float64], NDArray[np.float64]],
    d: Mapping[str, float],
    other: str,
    settings: Settings,
) -> Check:
    theirs = float(pair[1].mean())
    limit = -settings.gate.loss * theirs
    verdict = STOP if d["high"] < limit else ASK if d["high"] < 0 and d["mean"] < limit else GO
    judged = {
        STOP: f"surely worse by more than {settings.gate.loss:.0%}",
        ASK: f"probably worse by more than {settings.gate.loss:.0%}",
        GO: "no significant loss",
    }[verdict]
    says = (
        f"{surface}, {group}: NDCG@10 {pair[0].mean():.4f} against {theirs:.4f} of {other}, {d['mean']:+.4f} "
        f"[{d['low']:+.4f}, {d['high']:+.4f}] over {len(pair[0])} owners: {judged}"
    )
    return _compared(name, surface, group, d, limit, verdict, says)


def _gain(
    surface: Surface, pair: tuple[NDArray[np.float64], NDArray[np.float64]], d: Mapping[str, float], settings: Settings
) -> Iterator[Check]:
    theirs = float(pair[1].mean())
    limit = settings.gate.gain * theirs
    if theirs and d["low"] > limit:
        says = (
            f"{surface}, {OVERALL}: NDCG@10 {pair[0].mean():.4f} against {theirs:.4f} of the live release is too "
            f"good to be believed without a check (over {1 + settings.gate.gain:g} times as good): a leak, or a live "
            "release that was broken?"
        )
        yield _compared("gain", surface, OVERALL, d, limit, ASK, says)


def _compared(
    name: str, surface: Surface, group: str, d: Mapping[str, float], limit: float, verdict: str, says: str
) -> Check:
    mean, low, high = (round(d[k], 6) for k in ("mean", "low", "high"))
    return Check(name, surface.value, group, mean, low, high, round(limit, 6), verdict, says)


def _limited(name: str, surface: str, value: float | None, limits: Thresholds, words: str, far: bool) -> Check:
    ask, stop = limits.ask, limits.stop
    if value is None:
        return Check(name, surface, None, None, None, None, ask, GO, f"{surface}: {name} is undefined")
    beyond = 2 if value > stop else 1 if value > ask else 0
    verdict = (GO, GO, ASK)[beyond] if far else (GO, ASK, STOP)[beyond]
    limit = stop if far or verdict == STOP else ask
    says = f"{surface}: {value:.3f} {words}; " + ("within" if verdict == GO else "beyond") + f" {limit:g}"
    return Check(name, surface, None, round(value, 6), None, None, limit, verdict, says)


def _too_few(name: str, surface: Surface, group: str, owners: int) -> Check:
    says = f"{surface}, {group}: {owners} owners are too few for a comparison"
    return Check(name, surface.value, group, None, None, None, None, GO, says)


def _lack(value: float | None) -> float | None:
    return None if value is None else 1 - value


def _rise(pair: Sequence[float | None]) -> float | None:
    live, new = pair
    return None if live is None or new is None else new - live


def _loss_of(pair: Sequence[float | None]) -> float | None:
    live, new = pair
    return None if not live or new is None else 1 - new / live
