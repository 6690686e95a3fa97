"""All users and startups that may be recommended: not a model, but fitted, stored and required like one."""

from models.spec import ModelSpec

SPEC = ModelSpec(
    name="catalogue",
    bundle="catalogue_v1",
    title="All users and startups that lists may show, with the facts that filters and features need.",
    arrays="see `models/data/entities.py` (user, startup)",
    rows="all entities at the cutoff",
    fit="models.catalogue.fit:fit",
    required=True,
)
