"""Which ranker serves a surface: owners who neither taught it nor report how good it is hold it against the rules.

Asked are the owners of the choosing half of the inner cut. The learned ranker was taught by earlier cuts; the network
was taught by these very owners, so each half of them is answered by a network that the other half taught.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.metrics.jury import ONE_ERROR, Choice, choose
from models.nouns.bundle import Bundle
from models.nouns.vocabulary import Surface
from models.settings import Settings
from pipelines.judging.contenders import RANKED, ROUTE, RULES, TAUGHT, contenders, ndcg_each
from pipelines.learning.holdout import Holdout
from pipelines.learning.ranking_set import RankingSet

#: Owners of a surface who are asked.
JURY = 2000
#: What may serve in the place of the rules, the simpler one first.
CHALLENGERS = (RANKED, TAUGHT)


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """The network twice: `even` for owners of even rows, taught by those of odd ones, and the other way round."""

    even: Bundle
    odd: Bundle


def cross_fitted(rows: RankingSet, settings: Settings,
                 fit: Callable[[RankingSet, Settings], Bundle]) -> CrossFitted:
    """Each half needs half of the positives that the whole one needs. Raises TrainingError where one has fewer."""
    half = replace(settings, ranker_min_positives=max(1, settings.ranker_min_positives // 2))
    return CrossFitted(*(fit(rows.of(rows.owner % 2 == taught_by), half) for taught_by in (1, 0)))


def ballot_of(holdout: Holdout, surface: Surface, network: CrossFitted | None, learned: Bundle | None,
              alone: bool = True) -> dict[str, np.ndarray]:
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


def chosen(ballot: Mapping[str, np.ndarray]) -> Choice:
    """The challenger that serves in the place of the rules, if any."""
    return choose({name: ballot[name] - ballot[RULES] for name in CHALLENGERS if name in ballot}, ONE_ERROR)


def told(ballot: Mapping[str, np.ndarray], choice: Choice, name: str) -> str:
    """What the owners said of a challenger, in words."""
    if not choice.owners:
        return "nobody to judge it by"
    said = f"NDCG@10 {ballot[name].mean():.4f}, rules {ballot[RULES].mean():.4f}: {choice.said(name)}"
    if choice.taken == name:
        return f"{said}, clearly better; it serves"
    if choice.gains[name]["low"] > 0 and choice.taken is not None:
        return f"{said}, clearly better, but {choice.taken} gains more"
    return f"{said}, {'worse' if choice.gains[name]['high'] < 0 else 'not clearly better'}; it does not serve"
