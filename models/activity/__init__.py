"""Activity and demand of users and startups at the cutoff, for the learned ranker."""

from models.spec import ModelSpec

SPEC = ModelSpec(
    name="activity",
    bundle="activity_v1",
    title="Activity and predicted demand of users and startups, for the ranker.",
    arrays=(
        "clock_instant, clock_share; user_facts, user_demand, startup_facts, startup_demand; for each facet "
        "`<facet>_values`, `_share`, `_indptr`, `_indices`, `_data` (user, startup)"
    ),
    rows=(
        "facts at the cutoff (`models/features/item_facts.py`), predicted new partners; startups of each facet value "
        "that a user met, csr"
    ),
    fit="models.activity.fit:fit",
    cheap=True,
    extend="models.activity.fit:extend",
)
