"""Names of contenders and figures in evaluation.json, in reports and in the log."""

from __future__ import annotations

#: The lists that owners get. Every other contender is compared with them.
SERVED = "served"
#: Metrics with an interval; the others are plain means.
ACCURACY = ("precision", "recall", "ndcg", "map")

#: Contenders: see `pipelines/train/contenders.py`.
ROUTE, RULES, RANKED, POPULAR, RANDOM = "route", "rules", "ranker", "popular", "random"
TAUGHT, STACK, MEAN, CAPPED = "learned", "stacked", "mean", "capped"
#: The contender that [ranking] mode = "seed" would serve, and its title.
SEED_RECIPE, SEED_TITLE = "seed_recipe", "the source documents' recipe"
