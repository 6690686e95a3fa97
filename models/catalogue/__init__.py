"""Everybody who can be in a list: no model, but fitted, stored and required like one."""

from models.spec import ModelSpec

SPEC = ModelSpec(
    name="catalogue",
    bundle="catalogue_v1",
    title="Everybody who can be in a list, with the facts that filters and features need.",
    arrays="see `models/data/entities.py` (user, startup)",
    rows="everybody at the cutoff",
    fit="models.catalogue.fit:fit",
    required=True,
)
