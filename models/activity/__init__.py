"""Activity and demand of all users and startups at the cutoff, for the learned ranker."""

from models.spec import ModelSpec

SPEC = ModelSpec(
    name="activity",
    bundle="activity_v1",
    title="Activity of users and startups and their expected demand: for the ranker.",
    arrays=(
        "clock_instant, clock_share; user_facts, user_demand, startup_facts, startup_demand; for each facet "
        "`<facet>_values`, `_share`, `_indptr`, `_indices`, `_data` (user, startup)"
    ),
    rows=(
        "facts of all entities at the cutoff (`models/features/item_facts.py`), expected new partners; how many "
        "startups of each facet value a user interacted with, csr"
    ),
    fit="models.activity.fit:fit",
    cheap=True,
    extend="models.activity.fit:extend",
)
