"""Every release stores who sees each item, as its lists say."""

from __future__ import annotations

import numpy as np

from models.catalogue.catalogue import CATALOGUE
from models.lists.audience import SEEN, open_audience, open_ids
from models.lists.release import release_lists
from models.schema import Entity, Surface
from pipelines.store.artifacts import Artifacts
from tests.pipelines.conftest import Town


def test_the_audience_of_a_build_equals_its_lists(town: Town) -> None:
    artifacts = Artifacts(town.settings)
    release = artifacts.release(town.build())
    directory = artifacts.directory(release.id)
    maps = artifacts.open_bundle(CATALOGUE, release.bundles[CATALOGUE]).maps
    assert all(open_ids(directory, release, e) == maps[e.value] for e in Entity)
    for surface in Surface:
        audience = open_audience(directory, release, surface)
        assert audience is not None and len(audience.exposure) == len(maps[surface.item.value])
        listed: dict[int, list[tuple[int, int]]] = {}
        for lists in release_lists(directory, release, surface):
            for i in range(len(lists)):
                for place, item in enumerate(lists.item[lists.row(i)][:SEEN].tolist(), 1):
                    listed.setdefault(item, []).append((place, int(lists.owner[i])))
        for item, expected in listed.items():
            owners, places = audience.of(item)
            assert list(zip(places.tolist(), owners.tolist(), strict=True)) == sorted(expected)
        assert np.flatnonzero(audience.exposure).tolist() == sorted(listed)
