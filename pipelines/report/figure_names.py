"""Names of contenders and figures in evaluation.json, in reports and in the log."""

from __future__ import annotations

#: The lists that owners are given: every other contender is held against it.
SERVED = "served"
#: Metrics that come with an interval; the others are means alone.
ACCURACY = ("precision", "recall", "ndcg", "map")

#: Who is compared: see `pipelines/train/contenders.py`.
ROUTE, RULES, RANKED, SEEDS, POPULAR, RANDOM = "route", "rules", "ranker", "ranker_seed_recipe", "popular", "random"
TAUGHT, CAPPED = "learned", "capped"
