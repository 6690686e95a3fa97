"""Let one publisher at a time write to a real Redis. A late one can write nothing."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

import pipelines.publish.lease as leases
from benchmarks.faults.publishers import content
from models.errors import ReleaseIncomplete, ReleaseTooBig, ServiceError
from models.lists.redis_format import POPULAR_FIELD, Keys
from models.lists.release import PUBLISHES
from models.schema import LIST_KINDS, Entity, Surface
from pipelines.publish.history import promote, rollback
from pipelines.publish.lease import Lease, lease
from pipelines.publish.load import Loadable, load, needed_bytes
from pipelines.publish.publish import publish_release, retire_loaded, switch
from pipelines.publish.trending import store_trending
from pipelines.redis_client import current_release, redis_errors
from pipelines.store.artifacts import Artifacts
from tests.pipelines.conftest import Town
from tests.stored import cell, cells


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.6)


@pytest.fixture
def late(client: redis.Redis, keys: Keys) -> Iterator[Lease]:
    """Pause a publisher after its admission until its lease has ended."""
    token = leases._admitted(client, keys)
    client.delete(keys.publisher)
    yield Lease(client, keys, token)


def everything(client: redis.Redis, keys: Keys) -> dict[bytes, object]:
    """Return every key except those of the lease itself."""
    own = {keys.publisher.encode(), keys.fence.encode()}
    return {k: content(client, k) for k in client.scan_iter(f"{keys.namespace}:*") if k not in own}


def test_tokens_only_grow_even_where_redis_lost_its_data(client: redis.Redis, keys: Keys) -> None:
    tokens = []
    for lost in (False, True, False):
        if lost:
            client.flushdb()
        with lease(client, keys) as held:
            tokens.append(int(held.token))
    assert tokens == sorted(set(tokens))


def test_a_late_publisher_writes_nothing_of_the_release_that_another_one_loaded_meanwhile(
    town: Town, client: redis.Redis, keys: Keys, late: Lease
) -> None:
    """Both load the same release. The late publisher must not touch even its keys."""
    older, newer = town.build(days=0), town.build(days=1)
    publish_release(town.settings, older)
    publish_release(town.settings, newer)
    mine, live = (Loadable.open(Artifacts(town.settings), r) for r in (older, newer))
    before = everything(client, keys)

    attempts: dict[str, Callable[[], object]] = {
        "load": lambda: load(town.settings, late, mine),
        "switch": lambda: switch(late, mine.manifest),
        "retire": lambda: retire_loaded(town.settings.layered({"keep_releases": 1}, "given"), late),
        "trending": lambda: store_trending(town.settings, late, live.manifest, live.entities),
        "renew": late.renew,
        "delete": lambda: late.write("UNLINK", [keys.current]),
    }
    for name, attempt in attempts.items():
        with pytest.raises(ServiceError, match="another publisher took over"), redis_errors(name):
            attempt()
    assert everything(client, keys) == before and current_release(town.settings) == newer


def test_a_late_publisher_without_a_successor_may_continue(town: Town, late: Lease) -> None:
    release = Loadable.open(Artifacts(town.settings), town.build())
    late.renew()
    load(town.settings, late, release)
    switch(late, release.manifest)
    assert current_release(town.settings) == release.manifest.id


def test_a_publisher_that_wakes_up_in_the_middle_of_its_load_is_stopped_there(
    town: Town, client: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = town.build(days=0), town.build(days=1)
    writes, paused, awake, said = [0], threading.Event(), threading.Event(), list[str]()
    write = Lease.write

    def slowly(self: Lease, *words: Any, **more: Any) -> object:
        if threading.current_thread().name == "sleepy":
            writes[0] += 1
            if writes[0] == 5:
                paused.set()
                awake.wait(20)
        return write(self, *words, **more)

    monkeypatch.setattr(Lease, "write", slowly)
    monkeypatch.setattr(Lease, "keep", lambda self, stop: None)  # its machine is frozen, so it renews nothing

    def sleepy() -> None:
        try:
            publish_release(town.settings, second)
        except ServiceError as error:
            said.append(str(error))

    thread = threading.Thread(target=sleepy, name="sleepy")
    thread.start()
    assert paused.wait(20)
    publish_release(town.settings, first)  # waits for the lease to end
    before = everything(client, keys)
    awake.set()
    thread.join(20)

    assert said and "another publisher took over" in said[0]
    assert everything(client, keys) == before and not client.exists(*keys.of_release(second))
    assert publish_release(town.settings, second).published and client.smembers(keys.loading) == set()


def test_a_killed_publisher_blocks_others_only_until_its_lease_ends(
    town: Town, client: redis.Redis, keys: Keys
) -> None:
    release = town.build()
    client.set(keys.publisher, "1", px=400)
    assert publish_release(town.settings, release).published


def test_a_long_load_keeps_its_lease(client: redis.Redis, keys: Keys) -> None:
    with lease(client, keys) as held:
        time.sleep(2.5 * leases.LEASE_S)
        assert client.get(keys.publisher) == held.token.encode()
        with pytest.raises(ServiceError, match="another publish is under way"), lease(client, keys):
            pass
    assert client.get(keys.publisher) is None


def test_files_of_a_killed_publisher_are_removed_by_the_next(town: Town, client: redis.Redis, keys: Keys) -> None:
    killed, next_one = town.build(days=0), town.build(days=1)
    client.sadd(keys.loading, killed)
    for key in keys.of_release(killed)[:4]:
        client.hset(key, b"half", b"loaded")

    publish_release(town.settings, next_one)

    assert not client.exists(*keys.of_release(killed)) and not client.smembers(keys.loading)


def test_half_a_load_of_the_same_release_is_no_part_of_the_whole_one(
    town: Town, client: redis.Redis, keys: Keys
) -> None:
    release = town.build()
    client.sadd(keys.loading, release)
    client.hset(keys.lists(release, Surface.STARTUPS_FOR_INVESTOR), b"of nobody", b"x")
    assert publish_release(town.settings, release).published
    assert client.smembers(keys.loading) == set()


@pytest.mark.parametrize("harm", ["list", "popular", "table", "missing"])
def test_lists_that_arrive_otherwise_than_they_were_scored_are_not_made_live(
    town: Town, client: redis.Redis, keys: Keys, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts alone would not detect it."""
    first, second = town.build(days=0), town.build(days=1)
    publish_release(town.settings, first)
    key, write = keys.lists(second, Surface.DEVELOPERS_FOR_STARTUP), Lease.write

    def lossy(self: Lease, command: str, names: list[str], *words: Any, **more: Any) -> object:
        done = write(self, command, names, *words, **more)
        if names == [keys.manifest(second)]:  # the last write of a load
            fields = sorted(f for f in cells(client, key) if f != POPULAR_FIELD)
            field = POPULAR_FIELD if harm == "popular" else fields[3]
            if harm == "table":
                client.append(keys.items(second, Entity.USER), b"x")
            elif harm == "missing":
                client.hdel(key, field)
                client.hset(key, b"0" * 16, b"count me")
            else:
                value = cell(client, key, field)
                client.hset(key, field, value[:-1] + bytes([value[-1] ^ 1]))
        return done

    monkeypatch.setattr(Lease, "write", lossy)
    with pytest.raises(ReleaseIncomplete, match="publish it again"):
        publish_release(town.settings, second)
    assert current_release(town.settings) == first
    monkeypatch.undo()
    assert publish_release(town.settings, second).published


def test_a_loaded_release_is_checked_and_lost_lists_are_restored(town: Town, client: redis.Redis, keys: Keys) -> None:
    releases = [town.build(days=d) for d in (0, 1)]
    for r in releases:
        publish_release(town.settings, r)
    key = keys.lists(releases[0], Surface.STARTUPS_FOR_DEVELOPER)
    before = client.hgetall(key)
    client.hdel(key, next(f for f in before if f != POPULAR_FIELD))

    rollback(town.settings)
    assert client.hgetall(key) == before and current_release(town.settings) == releases[0]


def test_a_release_that_does_not_fit_is_refused_with_figures_before_anything_is_written(
    town: Town, client: redis.Redis, keys: Keys
) -> None:
    first, second = town.build(days=0), town.build(days=1)
    publish_release(town.settings, first)
    before = everything(client, keys)
    with pytest.raises(
        ReleaseTooBig, match=r"needs \d+\.\d MB in Redis, 0\.0 MB are free .*\[releases\] keep_in_redis"
    ):
        publish_release(replace(town.settings, redis_budget_mb=1), second)
    assert everything(client, keys) == before

    plan = promote(town.settings, second, dry_run=True)
    assert not plan.published and 0 < (plan.needs_mb or 0) < (plan.limit_mb or 0) and everything(client, keys) == before


def test_the_estimate_is_no_less_than_what_redis_takes_and_not_much_more(
    town: Town, client: redis.Redis, keys: Keys
) -> None:
    release = town.build()
    told = publish_release(town.settings, release)
    manifest = Artifacts(town.settings).release(release)
    taken = sum(client.memory_usage(keys.lists(release, kind), samples=0) or 0 for kind in LIST_KINDS)

    assert taken <= needed_bytes(manifest) <= 2 * taken  # lists of eight places have the largest overhead
    assert told.lists and told.redis_bytes_per_list == pytest.approx(taken / told.lists, rel=0.1)


def test_a_future_cutoff_blocks_no_build(town: Town) -> None:
    """A release of an old version used a row of the year 2106 as its cutoff."""
    odd, today = town.build(days=30_000), town.build(days=1)
    assert publish_release(town.settings, odd).published
    assert publish_release(town.settings, today).published
    assert not publish_release(town.settings, town.build(days=0)).published


def test_live_releases_and_reasons_are_recorded(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    older, newer = town.build(days=0), town.build(days=1)
    publish_release(town.settings, newer)
    with caplog.at_level(logging.WARNING):
        publish_release(town.settings, older, force=True)
    assert f"release forced over a newer cutoff id={older} live={newer}" in caplog.text

    path = town.settings.artifacts / PUBLISHES
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(x["release"], x["reason"]) for x in lines] == [(newer, "newest cutoff"), (older, "forced")]
    assert all(x["redis_bytes_per_list"] > x["bytes_per_list"] > 0 for x in lines)
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_older_release_is_promoted_only_by_force_where_force_is_asked_for(town: Town) -> None:
    older, newer = town.build(days=0), town.build(days=1)
    publish_release(town.settings, newer)
    refused = promote(town.settings, older, force=False)
    assert not refused.published and newer in refused.reason and current_release(town.settings) == newer
    assert promote(town.settings, older, force=True).published and current_release(town.settings) == older
