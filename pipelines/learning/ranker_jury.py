"""Which ranker serves a surface: owners who neither taught it nor report how good it is compare it with the rules.

Asked are the owners of the choosing half of the inner cut. The learned ranker was taught by earlier cuts; the network
was taught by these very owners, so each half of them is answered by a network that the other half taught.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from models.metrics.jury import ONE_ERROR, SURE, Choice, choose
from models.nouns.bundle import Bundle
from models.schema import Surface
from models.settings import Settings
from pipelines.judging.contenders import contenders, ndcg_each
from pipelines.judging.report.figure_names import RANKED, ROUTE, RULES, TAUGHT
from pipelines.learning.holdout import Holdout
from pipelines.learning.ranking_set import RankingSet

#: Owners of a surface who are asked.
JURY = 2000


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """The network twice: `even` for owners of even rows, taught by those of odd ones, and the other way round."""

    even: Bundle
    odd: Bundle


def cross_fitted(rows: RankingSet, settings: Settings, fit: Callable[[RankingSet, Settings], Bundle]) -> CrossFitted:
    """Each half needs half of the positives that the whole one needs. Raises TrainingError where one has fewer."""
    half = settings.layered({"ranker_min_positives": max(1, settings.table("ranker").min_positives // 2)}, "given")
    return CrossFitted(*(fit(rows.of(rows.owner % 2 == taught_by), half) for taught_by in (1, 0)))


def ballot_of(
    holdout: Holdout, surface: Surface, network: CrossFitted | None, learned: Bundle | None, alone: bool = True
) -> dict[str, np.ndarray]:
    """By name (owners,) NDCG@10 of the rules, of the network and of the learned ranker where they are, and, `alone`, of
    each source, popular and chance. learned: taught only by what had happened before the inner cut."""
    recipe = holdout.recipe(surface)
    owners, outcome = holdout.owners(recipe, teaching=True)
    jury = np.arange(min(len(owners), JURY))
    if not len(jury):
        asked = {RULES: True, RANKED: network is not None, TAUGHT: learned is not None}
        return {name: np.zeros(0) for name, there in asked.items() if there}
    owners, truth = owners.take(jury), outcome.relevant[jury]
    those = contenders(holdout, surface, None if network is None else network.even, None, learned)
    those = {name: c for name, c in those.items() if name != ROUTE and (alone or name in (RULES, RANKED))}
    found = ndcg_each(those, owners, truth, holdout.settings.threads)
    if network is not None:
        odd = {RANKED: contenders(holdout, surface, network.odd, None)[RANKED]}
        other = ndcg_each(odd, owners, truth, holdout.settings.threads)[RANKED]
        found[RANKED] = np.where(owners.row % 2 == 0, found[RANKED], other)
    return found


def network_choice(ballot: Mapping[str, np.ndarray]) -> Choice:
    """Whether the network serves in the place of the rules: taken where it is better by one standard error."""
    return choose({RANKED: ballot[RANKED] - ballot[RULES]}, ONE_ERROR)


def learned_choice(ballot: Mapping[str, np.ndarray]) -> Choice:
    """What serves in the place of the learned ranker: taken where it is surely better, whatever the jury's size.

    The learned ranker is the default because it was the better one on every real data set that it was tried on."""
    challengers = {name: ballot[name] - ballot[TAUGHT] for name in (RULES, RANKED) if name in ballot}
    return choose(challengers, SURE, least=2)


def told(ballot: Mapping[str, np.ndarray], choice: Choice, name: str) -> tuple[bool, str]:
    """Whether the network or the learned ranker serves a surface, and what the owners said of it, in words."""
    if not choice.owners:
        return False, "nobody to judge it by"
    serves = (choice.taken is None) == (name == TAUGHT)
    figures = ", ".join(f"{n} {ballot[n].mean():.4f}" for n in dict.fromkeys((name, RULES, *choice.gains)))
    best = choice.taken or choice.best or name
    return serves, (
        f"NDCG@10 {figures}; gain of {best} {choice.said(best)}; {'it serves' if serves else 'it does not serve'}"
    )
