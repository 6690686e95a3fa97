"""Names of contenders and figures in evaluation.json, in reports and in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The lists that owners get. Every other contender is compared with them.
SERVED = "served"
#: Metrics with an interval; the others are plain means.
ACCURACY = ("precision", "recall", "ndcg", "map")

#: Contenders: see `pipelines/train/contenders.py`.
ROUTE, RULES, RANKED, POPULAR, RANDOM = "route", "rules", "ranker", "popular", "random"
TAUGHT, STACK, MEAN, CAPPED = "learned", "stacked", "mean", "capped"
#: What ranks, in plain words, by contender.
RANKED_BY = {
    ROUTE: "no ranker",
    RULES: "the rules",
    RANKED: "the network",
    TAUGHT: "the learned ranker",
    STACK: "the stacked ranker",
    MEAN: "the mean of the stacked and the learned ranker",
}
#: The contender that [ranking] mode = "seed" would serve, and its title.
SEED_RECIPE, SEED_TITLE = "seed_recipe", "the source documents' recipe"


def served_by(choice: Mapping[str, Any], cap: float) -> str:
    """Say what orders the lists of a surface, why, and what its cap on exposure changes. cap: a multiple, 0: none."""
    name = ranks(choice) or ""
    told = f"Ordered by {RANKED_BY.get(name, name)}. Why: {choice['reason']}."
    if not cap:
        return told
    return (
        f"{told} Then a cap on exposure limits each item to {cap:g} times its fair share of all first ten places. "
        "The item stays with the owners who score it highest; in other lists the next items move up. "
        f"Tables name the result {CAPPED}."
    )


def ranks(choice: Mapping[str, Any]) -> str | None:
    """Return the contender that ranks a surface. With a cap on exposure, CAPPED serves its lists."""
    return choice.get("ranks", choice.get("serves"))
