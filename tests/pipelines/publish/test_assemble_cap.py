"""Cap exposure in a release: over all shards at once, reported, repeatable."""

from __future__ import annotations

import numpy as np
import pytest

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.errors import ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.release import Release, release_lists
from models.schema import Surface
from pipelines.publish.assemble import assemble_release
from pipelines.score.caps import keep_caps
from pipelines.score.shards import shard_path
from pipelines.store.artifacts import Artifacts
from tests.pipelines.conftest import Town

CAP = 1.2


def release_of(town: Town, shards: int, name: str) -> Release:
    town.settings = town.settings.layered({"exposure_cap": CAP, "shards": shards, "depth": 100}, "given")
    run = town.run(name=name)
    build, done = town.score(run)
    first = assemble_release(run, build, done)
    assert assemble_release(run, build, done) == first  # clear the task and run it again
    return Artifacts(town.settings).release(first.release)


def test_no_item_is_in_more_top_tens_than_the_cap_for_any_shards(town: Town) -> None:
    release, again = release_of(town, 6, "cap"), release_of(town, 1, "cap-again")
    assert release.id == again.id and release.shares == again.shares
    entities = entities_of(Artifacts(town.settings).latest_bundle(CATALOGUE))
    folder = town.settings.artifacts / "releases" / release.id
    for surface in Surface:
        told = release.shares[surface.value]["exposure"]
        known = entities[surface.item]
        items = known.items_of(surface)
        lists = RankedLists.concat(list(release_lists(folder, release, surface)))
        tops = [lists.item[lists.row(i)][:10] for i in np.flatnonzero(lists.count > 0).tolist()]
        count = np.bincount(np.concatenate(tops), minlength=len(known))[items]
        share = (known.count[items] / known.count[items].sum() + 1 / len(items)) / 2
        above = np.maximum(count - np.maximum(1, np.ceil(CAP * count.sum() * share)), 0).sum()
        assert told["multiple"] == release.cap(surface) == CAP
        assert told["above"] == above < 0.02 * count.sum() and told["moved"] > 0
        assert told["most"] < told["uncapped"]["most"] and told["coverage"] >= told["uncapped"]["coverage"]
        assert told["gini"] < told["uncapped"]["gini"]


def test_the_choice_of_a_build_is_applied_unless_a_multiple_is_set(town: Town) -> None:
    surface = Surface.STARTUPS_FOR_INVESTOR
    town.settings = town.settings.layered({"depth": 100}, "given")
    run = town.run()
    build, done = town.score(run)
    keep_caps(run, {surface.value: CAP})
    release = Artifacts(town.settings).release(assemble_release(run, build, done).release)
    assert [release.cap(s) for s in Surface] == [CAP if s is surface else 0.0 for s in Surface]
    assert release.shares[surface.value]["exposure"]["moved"] > 0

    town.settings = town.settings.layered({"exposure_cap": 0.0}, "given")
    run = town.run(name="free")
    build, done = town.score(run)
    keep_caps(run, {surface.value: CAP})
    assert Artifacts(town.settings).release(assemble_release(run, build, done).release).cap(surface) == 0.0


def test_without_a_cap_the_shards_stay_as_scored_and_reach_is_reported(town: Town) -> None:
    release = Artifacts(town.settings).release(town.build())

    assert not any("capped" in s for s in release.shards)
    assert all(set(share["exposure"]) == {"coverage", "gini", "most"} for share in release.shares.values())


def test_a_shard_that_changed_is_not_capped(town: Town) -> None:
    town.settings = town.settings.layered({"exposure_cap": CAP}, "given")
    run = town.run()
    build, done = town.score(run)
    shard_path(run, done[0]).unlink()

    with pytest.raises(ReleaseIncomplete, match="clear that scoring shard"):
        assemble_release(run, build, done)
