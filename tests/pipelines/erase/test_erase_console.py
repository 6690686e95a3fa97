"""An erasure removes a person from what the console searches and shows: words of names, and audiences."""

from __future__ import annotations

import numpy as np

from models.catalogue.catalogue import CATALOGUE
from models.catalogue.directory import Directory
from models.lists.audience import open_audience, open_ids
from models.lists.release import Release
from models.schema import Entity, Surface
from pipelines.store.artifacts import Artifacts
from tests.pipelines.erase.conftest import PERSON, City, Erased


def seen_by(city: City, release: Release) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """Return the owner and place of each entry, by surface and item."""
    directory = Artifacts(city.settings).directory(release.id)
    ids = {e: open_ids(directory, release, e) for e in Entity}
    found = {}
    for surface in Surface:
        audience, owners, items = (
            open_audience(directory, release, surface), ids[surface.owner], ids[surface.item]
        )  # fmt: skip
        assert audience is not None and owners is not None and items is not None
        for row in np.flatnonzero(audience.exposure).tolist():
            owner, place = audience.of(row)
            item = str(items.text(np.array([row]))[0])
            found[surface.value, item] = list(zip(owners.text(owner).tolist(), place.tolist(), strict=True))
    return found


def test_audiences_are_exact_after_an_erasure(erased: Erased) -> None:
    city = erased.city
    before = seen_by(erased.mould, Artifacts(erased.mould.settings).release(city.live))
    owns = sum(owner == PERSON for seen in before.values() for owner, _ in seen)
    assert owns and any(item == PERSON for _, item in before)

    new = Artifacts(city.settings).release(
        erased.receipt["successors"][f"releases/{city.live}"].removeprefix("releases/")
    )
    after = seen_by(city, new)
    assert not any(item == PERSON for _, item in after)
    assert not any(owner == PERSON for seen in after.values() for owner, _ in seen)
    lists = city.lists(new.id)
    for (surface, item), seen in after.items():
        for owner, place in seen:
            assert lists[surface, owner][place - 1][0] == item
    assert sum(map(len, after.values())) == sum(
        min(len(places), 20) for (kind, owner), places in lists.items() if owner != "*" and kind in set(Surface)
    )


def test_no_word_of_the_name_is_left(erased: Erased) -> None:
    """The tiny marketplace gives each person a name of their own."""
    city = erased.city
    artifacts, stored = Artifacts(city.settings), Artifacts(erased.mould.settings)
    bundle = stored.open_bundle(CATALOGUE, stored.release(city.live).bundles[CATALOGUE])
    row = int(bundle.maps["user"].rows_of([PERSON])[0])
    mine = set(bundle.arrays["user_word"][bundle.arrays["user_word_row"] == row].tolist())
    assert mine

    after = artifacts.open_bundle(CATALOGUE, artifacts.release(city.current).bundles[CATALOGUE])
    others = set(bundle.arrays["user_word"][bundle.arrays["user_word_row"] != row].tolist())
    assert set(after.arrays["user_word"].tolist()) == others and row not in after.arrays["user_word_row"]
    assert after.arrays["user_name_rank"][row] == 0
    assert (
        Directory.of(after, Entity.USER).find("person").tolist() == np.flatnonzero(~after.maps["user"].blank).tolist()
    )
