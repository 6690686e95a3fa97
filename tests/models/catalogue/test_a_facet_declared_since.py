"""Open catalogues stored before a facet was declared: the facet is blank, all else is unchanged."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from models.activity.fit import extend, fit_activity
from models.catalogue.catalogue import catalogue_bundle, decode_items, encode_items, entities_of
from models.data.bundle import Bundle
from models.data.training_data import Newcomers
from models.features.location import PLACES
from models.features.table import affinities
from models.schema import FACETS, Entity
from pipelines.refresh.changes import Arrival, extended
from tests.marketplace.world import world
from tests.models.features.market_by_hand import interactions, people, standing, startups

PARTS = ("values", "share", "indptr", "indices", "data")
NEW = "ffffffff-0000-4000-8000-000000000000"


def lacking(bundle: Bundle, facet: str) -> Bundle:
    """Remove a facet from a bundle, as before its declaration."""
    of_facet = (f"user_{facet}", f"startup_{facet}", *(f"{facet}_{part}" for part in PARTS))
    arrays = {name: array for name, array in bundle.arrays.items() if name not in of_facet}
    labels = bundle.config.get("labels", {})
    without = {e: {f: words for f, words in told.items() if f != facet} for e, told in labels.items()}
    return replace(bundle, arrays=arrays, config={**bundle.config, "labels": without})


def blank(facets: Mapping[str, np.ndarray], labels: Mapping[str, tuple[str, ...]], facet: str) -> bool:
    return bool((facets[facet] == -1).all()) and facets[facet].dtype == np.int32 and labels[facet] == ()


@pytest.mark.parametrize("facet", FACETS)
def test_a_catalogue_without_it(facet: str) -> None:
    market = world()
    before = catalogue_bundle(market.users, market.startups, {})
    for entity, found in entities_of(lacking(before, facet)).items():
        there = entities_of(before)[entity]
        assert blank(found.facets, found.labels, facet) and len(found) == len(there)
        assert all(np.array_equal(found.facets[f], there.facets[f]) for f in FACETS if f != facet)


@pytest.mark.parametrize("facet", FACETS)
def test_an_item_table_without_it(facet: str) -> None:
    entities = world().startups
    with np.load(io.BytesIO(encode_items(entities))) as z:
        columns = {name: z[name] for name in z.files if name != facet}
    labels = {f: words for f, words in decode_items(encode_items(entities)).labels.items() if f != facet}
    columns["labels"] = np.frombuffer(json.dumps(labels).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **columns)
    table = decode_items(buffer.getvalue())
    assert blank(table.facets, table.labels, facet) and table.codes[facet] == {}


@pytest.mark.parametrize("facet", (*FACETS, *PLACES))
def test_affinities_without_it(facet: str) -> None:
    activity = fit_activity(standing(), [])
    whole = [found.name for found in affinities(activity, people(), startups(), np.arange(4))]
    found = affinities(lacking(activity, facet), people(), startups(), np.arange(4))
    assert [f.name for f in found] == [name for name in whole if name != facet]


@pytest.mark.parametrize("facet", FACETS)
def test_a_refresh_adds_owners_who_state_it(facet: str) -> None:
    """The words of new owners count, those of known owners do not."""
    market = world()
    before = entities_of(lacking(catalogue_bundle(market.users, market.startups, {}), facet))
    arrival = Arrival(NEW, -1, 0, False, "", "", {facet: "New Word"})
    after = extended(before[Entity.STARTUP], [arrival], before[Entity.USER])
    assert after.labels[facet] == ("New Word",)
    assert after.facets[facet].tolist() == [-1] * len(before[Entity.STARTUP]) + [0]


@pytest.mark.parametrize("facet", FACETS)
def test_the_activity_of_newcomers_without_it(facet: str) -> None:
    arrival = Arrival(NEW, 0, 0, False, "", "", {})
    everybody = {Entity.USER: extended(people(), [arrival]), Entity.STARTUP: startups()}
    events = replace(interactions(), owners=everybody[Entity.USER].ids)
    newcomers = Newcomers(everybody, {Entity.USER: [""], Entity.STARTUP: []}, events, standing().as_of_us)
    found = extend(lacking(fit_activity(standing(), []), facet), newcomers)
    assert f"{facet}_values" not in found.arrays and len(found.arrays["user_facts"]) == 5
