"""The catalogue: users and startups that lists may show, stored as a bundle."""

from models.spec import ModelSpec

SPEC = ModelSpec(
    name="catalogue",
    bundle="catalogue_v1",
    title="All users and startups, with the facts for filters and features.",
    arrays="see `models/data/entities.py` and `models/catalogue/directory.py` (user, startup)",
    rows="all users and startups at the cutoff",
    fit="models.catalogue.fit:fit",
    required=True,
)
