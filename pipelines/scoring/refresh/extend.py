"""The bundles that know everybody, with those who came since: what their own words and the day's events tell of them.

Nothing is taught here: who was known keeps every number. A model that knows people by what they did (ALS, neighbours,
popularity) knows newcomers with the next build only, and abstains until then.
"""

from __future__ import annotations

from collections.abc import Mapping

from models import registry
from models.data.newcomers import Newcomers
from models.nouns.catalogue import CATALOGUE, catalogue_bundle
from models.schema import Entity
from models.spec import function
from pipelines.runs.run import Run
from pipelines.scoring.refresh.changes import Changes


def extended_bundles(run: Run, versions: Mapping[str, str], changes: Changes) -> dict[str, str]:
    """Store the catalogue as it is now, and what must know everybody in it; returns the versions of all bundles.

    versions: of the release that is refreshed. The catalogue's `as_of_us` stays the build's, which its models were
    taught at; `refreshed_us` is the refresh's cutoff.
    """
    before = run.artifacts.open_bundle(CATALOGUE, versions[CATALOGUE])
    users, startups = (changes.entities[e] for e in (Entity.USER, Entity.STARTUP))
    config = {k: v for k, v in before.config.items() if k != "labels"} | {"refreshed_us": run.as_of_us}
    found = {CATALOGUE: catalogue_bundle(users, startups, config)}
    if any(changes.new.values()):
        texts = {entity: [a.text for a in new] for entity, new in changes.new.items()}
        newcomers = Newcomers(changes.entities, texts, changes.events, run.as_of_us)
        for spec in registry.MODELS:
            if spec.extend and spec.bundle in versions:
                bundle = run.artifacts.open_bundle(spec.bundle, versions[spec.bundle])
                found[spec.bundle] = function(spec.extend)(bundle, newcomers)
    return {**versions, **{name: run.artifacts.store_bundle(b, run.slug) for name, b in found.items()}}
