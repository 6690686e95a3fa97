"""A refresh also renews what the console searches and shows."""

from __future__ import annotations

from models.catalogue.catalogue import CATALOGUE
from models.catalogue.directory import Directory
from models.lists.audience import open_audience, open_ids
from models.schema import Entity, Surface
from pipelines.store.artifacts import Artifacts
from tests.marketplace.tiny import identity
from tests.pipelines.refresh.conftest import Town


def test_newcomers_are_found_by_name_and_seen_after_a_refresh(town: Town) -> None:
    newcomer = town.joined(identity("user", 900), name="Zelda Newcomer")
    town.refresh()

    release, artifacts = town.release(), Artifacts(town.settings)
    catalogue = artifacts.open_bundle(CATALOGUE, release.bundles[CATALOGUE])
    row = int(catalogue.maps["user"].rows_of([newcomer])[0])
    found = Directory.of(catalogue, Entity.USER)
    assert found.find("zelda").tolist() == [row] and len(found.find("person")) > 1
    assert found.rank[row] == len(catalogue.maps["user"]) - 1

    directory = artifacts.directory(release.id)
    assert open_ids(directory, release, Entity.USER) == catalogue.maps["user"]
    audience = open_audience(directory, release, Surface.STARTUPS_FOR_DEVELOPER)
    assert audience is not None and row in audience.owner
