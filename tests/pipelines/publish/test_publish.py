"""Publish a release from shards to readers and back, on a real Redis."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis

import pipelines.publish.lease as leases
import tests.stored as stored
from models.catalogue.catalogue import CATALOGUE, decode_items, entities_of
from models.data.bundle import Bundle
from models.errors import DataError, ReleaseIncomplete, ReleaseNotFound, ServiceError
from models.lists.redis_format import POPULAR_FIELD, Keys, TrendingList, decode_list
from models.lists.release import Release, went_live
from models.schema import LIST_KINDS, Entity, Method, Surface
from pipelines.publish.assemble import assemble_release
from pipelines.publish.history import list_releases, promote, restore_live, rollback
from pipelines.publish.lease import lease
from pipelines.publish.load import load
from pipelines.publish.publish import publish_release
from pipelines.redis_client import current_release
from pipelines.retire import retire
from pipelines.score.shards import plan_shards, score_shard, shard_path
from pipelines.store.artifacts import HOLDOUTS, Artifacts
from tests.pipelines.conftest import Town


def client_of(town: Town) -> redis.Redis:
    return redis.Redis.from_url(town.settings.redis_url.reveal())


def test_every_owner_has_a_list_in_redis_and_the_pointer_names_the_release(town: Town) -> None:
    release = town.build()
    result = publish_release(town.settings, release)

    client, keys = client_of(town), Keys(town.settings.namespace)
    assert result.published and current_release(town.settings) == release
    entities = entities_of(Artifacts(town.settings).latest_bundle(CATALOGUE))
    for surface in Surface:
        owners = entities[surface.owner].owners_of(surface)
        key = keys.lists(release, surface)
        assert client.hlen(key) == len(owners) + 1
        for row in owners.tolist():
            found = decode_list(stored.cell(client, key, entities[surface.owner].ids.packed()[row].tobytes()))
            assert len(found.item) and found.count == entities[surface.owner].count[row]
        assert decode_list(stored.cell(client, key, POPULAR_FIELD)).method is Method.POPULAR
        assert 0 < client.ttl(key) <= town.settings.releases.ttl_hours * 3600
        assert len(TrendingList.decode(stored.value(client, keys.trending(surface))).ids)
    assert (
        decode_items(stored.value(client, keys.items(release, Entity.USER))).ids.ids.tolist()
        == entities[Entity.USER].ids.ids.tolist()
    )
    assert (
        Release.from_json(stored.value(client, keys.manifest(release))).lists
        == Artifacts(town.settings).release(release).lists
    )


def test_the_same_cutoff_built_twice_is_the_same_release_whatever_the_shards(town: Town) -> None:
    first = town.build()
    town.settings = town.settings.layered({"shards": 1, "threads": 1}, "given")
    run = town.run(name="again")
    build, done = town.score(run)

    assert assemble_release(run, build, done).release == first
    assert len(done) == len(LIST_KINDS)


def test_a_shard_scored_again_is_the_same_file(town: Town) -> None:
    run = town.run()
    build, done = town.score(run)
    again = score_shard(run, plan_shards(run, build)[0])

    assert again in done


@pytest.mark.parametrize("harm", ["missing file", "changed file", "left out"])
def test_a_failed_shard_blocks_the_release(town: Town, harm: str) -> None:
    run = town.run()
    build, done = town.score(run)
    path = shard_path(run, done[2])
    if harm == "missing file":
        path.unlink()
    elif harm == "changed file":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        done.pop(2)

    with pytest.raises(ReleaseIncomplete):
        assemble_release(run, build, done)
    assert Artifacts(town.settings).releases() == []


def test_shards_of_different_code_are_never_in_one_release(town: Town) -> None:
    """The code changed between a clear and the next run: nothing is stored, and the error has a remedy."""
    run = town.run()
    build, done = town.score(run)
    assert len({s.code for s in done}) == 1
    with pytest.raises(ReleaseIncomplete, match=r"different code .* clear the whole group `score`"):
        assemble_release(run, build, [replace(done[0], code="0123456789ab"), *done[1:]])
    assert run.artifacts.releases() == []


def test_an_older_cutoff_is_stored_and_not_live_unless_forced(town: Town) -> None:
    newer, older = town.build(days=1), town.build(days=0)
    publish_release(town.settings, newer)

    refused = publish_release(town.settings, older)
    assert not refused.published and newer in refused.reason
    assert current_release(town.settings) == newer
    assert {r["release"]: r["state"] for r in list_releases(town.settings)} == {newer: "live", older: "stored"}

    assert publish_release(town.settings, older, force=True).reason == "forced"
    assert current_release(town.settings) == older


def test_three_builds_stay_loaded_and_rollback_goes_one_back(town: Town) -> None:
    """M05: the live release and two before it stay. M01, M02: rollback moves one pointer."""
    releases = [town.build(days=d) for d in range(4)]
    for r in releases:
        publish_release(town.settings, r)
    client, keys = client_of(town), Keys(town.settings.namespace)

    loaded = [r for r in releases if client.exists(keys.manifest(r))]
    assert loaded == releases[1:]
    assert not any(client.exists(*keys.of_release(releases[0])) for _ in [0])
    assert rollback(town.settings).release == releases[2]
    assert current_release(town.settings) == releases[2]
    assert promote(town.settings, releases[0]).release == releases[0]
    assert current_release(town.settings) == releases[0]


def test_a_rollback_never_goes_forward(town: Town) -> None:
    first, second = town.build(days=0), town.build(days=1)
    for r in (first, second):
        publish_release(town.settings, r)
    assert rollback(town.settings, by="ada").release == first
    with pytest.raises(ReleaseNotFound, match=f"no earlier release to go back to; {second}: newer"):
        rollback(town.settings)
    assert current_release(town.settings) == first


def test_a_second_rollback_to_the_same_release_changes_nothing(town: Town) -> None:
    first, second, third = (town.build(days=d) for d in range(3))
    for r in (first, second, third):
        publish_release(town.settings, r)
    with pytest.raises(ReleaseNotFound, match=f"a rollback leads to {second} now, not to {first}"):
        rollback(town.settings, to=first)
    done, again = (rollback(town.settings, by="ada", to=second) for _ in range(2))
    assert done.published and not again.published and again.reason == "it is live already"
    assert current_release(town.settings) == second
    told = went_live(town.settings.artifacts, second)
    assert told is not None and (told["reason"], told["by"], told["previous"]) == ("rolled back", "ada", third)


def test_the_log_says_who_made_a_release_live(town: Town) -> None:
    first, second = town.build(days=0), town.build(days=1)
    for r in (first, second):
        publish_release(town.settings, r)
    rollback(town.settings, by="ada")
    root = town.settings.artifacts
    told = went_live(root, first)
    assert told is not None and (told["reason"], told["by"], told["previous"]) == ("rolled back", "ada", second)
    promote(town.settings, second, by="bob")
    client, keys = client_of(town), Keys(town.settings.namespace)
    client.delete(keys.current)
    assert restore_live(town.settings, client, keys) == second
    for told in (went_live(root, second), went_live(root, first)):
        assert told is not None and told["by"] in ("bob", "ada"), "a reload is no decision"
    publish_release(town.settings, first, force=True)
    told = went_live(root, first)
    assert told is not None and told["reason"] == "forced" and "by" not in told
    assert went_live(root, "unknown") is None


def test_no_earlier_release_and_an_unknown_one_give_errors(town: Town) -> None:
    with pytest.raises(ReleaseNotFound, match="no earlier release"):
        rollback(town.settings)
    with pytest.raises(ReleaseNotFound, match="stored are: none"):
        publish_release(town.settings, "20200101T000000Z-00000000")


def test_a_release_of_some_surfaces_is_never_published(town: Town) -> None:
    run = town.run()
    build, done = town.score(run)
    part = [s for s in done if s.surface == Surface.STARTUPS_FOR_INVESTOR.value]
    release = assemble_release(run, build, part, [Surface.STARTUPS_FOR_INVESTOR.value]).release

    with pytest.raises(ReleaseIncomplete, match="developers/for-startup"):
        publish_release(town.settings, release)
    with pytest.raises(DataError, match="startups/for-everyone"):
        plan_shards(run, build, ["startups/for-everyone"])


def test_one_publisher_at_a_time(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.5)
    release = town.build()
    client, keys = client_of(town), Keys(town.settings.namespace)
    with lease(client, keys), pytest.raises(ServiceError, match="another publish"):
        publish_release(town.settings, release)
    assert publish_release(town.settings, release).published
    assert client.get(keys.publisher) is None


def test_a_list_lost_before_the_switch_leaves_the_pointer_where_it_was(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.publish.publish as publish

    first, second = town.build(days=0), town.build(days=1)
    publish_release(town.settings, first)
    client, keys = client_of(town), Keys(town.settings.namespace)

    def lossy(*args: Any) -> object:
        loaded = load(*args)
        client.hdel(keys.lists(second, Surface.STARTUPS_FOR_INVESTOR), POPULAR_FIELD)
        return loaded

    monkeypatch.setattr(publish, "load", lossy)
    with pytest.raises(ReleaseIncomplete, match="expected"):
        publish_release(town.settings, second)
    assert current_release(town.settings) == first


def test_a_reader_never_sees_a_mix(town: Town) -> None:
    """Two releases alternate. Pointer and list, read in one transaction, always belong together."""
    releases = [town.build(days=0), town.build(days=1)]
    publish_release(town.settings, releases[0])
    client, keys = client_of(town), Keys(town.settings.namespace)
    stop, wrong, reads = threading.Event(), list[str](), [0]

    def read() -> None:
        mine = client_of(town)
        while not stop.is_set():
            current = stored.text(mine, keys.current)
            complete = [mine.hlen(keys.lists(current, kind)) for kind in LIST_KINDS]
            if 0 in complete or not mine.exists(keys.manifest(current)):
                wrong.append(current)
            reads[0] += 1

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(20):
        promote(town.settings, releases[i % 2])
    stop.set()
    reader.join()

    assert reads[0] > 20 and not wrong and client.get(keys.current)


def test_retiring_keeps_what_is_live_and_what_kept_releases_name(town: Town) -> None:
    releases = [town.build(days=d) for d in range(5)]
    publish_release(town.settings, releases[0])
    town.settings = town.settings.layered({"keep_artifacts": 3}, "given")
    judges = Artifacts(town.settings)
    for name in ("a", "b", "c", "d"):  # no release names them: the newest three stay for a running build
        judges.store_bundle(Bundle("als_v1", {"name": name}, {}), f"2020010{ord(name) - 96}T000000Z", HOLDOUTS)
    old = time.time() - 7 * 86_400
    for path in (p for p in Artifacts(town.settings).root.glob("*/**") if p.is_dir()):
        os.utime(path, (old, old))  # young files may belong to a running build

    gone = retire(town.settings)

    assert gone["releases"] == [releases[1]]
    assert [name[:8] for name in gone["holdouts/als_v1"]] == ["20200101"]
    kept = {r.id for r in Artifacts(town.settings).releases()}
    assert kept == {releases[0], *releases[2:]}
    for release in Artifacts(town.settings).releases():
        for name, version in release.bundles.items():
            assert np.isfinite(len(Artifacts(town.settings).open_bundle(name, version).arrays))
