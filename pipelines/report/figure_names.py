"""Names of contenders and figures in evaluation.json, in reports and in the log."""

from __future__ import annotations

#: The lists that owners get; every other contender is compared with them.
SERVED = "served"
#: Metrics with an interval; the others are plain means.
ACCURACY = ("precision", "recall", "ndcg", "map")

#: Contenders: see `pipelines/train/contenders.py`.
ROUTE, RULES, RANKED, SEEDS, POPULAR, RANDOM = "route", "rules", "ranker", "ranker_seed_recipe", "popular", "random"
TAUGHT, CAPPED = "learned", "capped"
