"""Store a planted marketplace as a snapshot with bundles, so that scoring and release need no PostgreSQL."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pipelines.score.shards as arms
import pipelines.score.shards as shards
from models.data.interactions import Interactions
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.publish.assemble import assemble_release
from pipelines.refs import BuildRef, ScoredShard, ShardRef
from pipelines.run.run import EPOCH, Run, parse_instant
from pipelines.train.holdout import Holdout, open_holdout
from tests.databases import execute
from tests.marketplace.bundles import SMALL, planted_bundles
from tests.marketplace.small import quick_builds
from tests.marketplace.world import AS_OF_US, world
from tests.pipelines.train.market import AS_OF, market, small


@pytest.fixture(scope="module", autouse=True)
def quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make builds fast. Tests of reports draw real pictures."""
    with quick_builds(pictures="report" in request.path.parts):
        yield


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Yield the address of an S3 storage, which the environment names as a user's would."""
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "one",
            "AWS_SECRET_ACCESS_KEY": "two",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }.items():
            environment.setenv(name, value)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        S3FileSystem.clear_instance_cache()  # it would use the server of an earlier module
        address = "http://{}:{}".format(*server.get_host_and_port())
        environment.setenv("AWS_ENDPOINT_URL", address)
        yield address
        server.stop()


class PlantedSnapshot:
    """Gives scoring the events of a snapshot."""

    @classmethod
    def open(cls, path: object) -> PlantedSnapshot:
        return cls()

    def interactions(self) -> Interactions:
        return world().interactions


class Town:
    """One home with the planted world. `build` makes a release of any cutoff."""

    def __init__(self, settings: Settings) -> None:
        self.settings = SMALL.layered(
            {
                "home": settings.home,
                "database_url": settings.database_url,
                "redis_url": settings.redis_url,
                "namespace": settings.namespace,
                "shards": 6,
            },
            "given",
        )

    def run(self, days: int = 0, name: str = "town") -> Run:
        as_of = EPOCH + timedelta(microseconds=AS_OF_US) + timedelta(days=days)
        return Run.start(self.settings, f"{name}-{days}", as_of, fresh=True)

    def score(self, run: Run) -> tuple[BuildRef, list[ScoredShard]]:
        bundles = {}
        for name, bundle in planted_bundles().items():
            if name == "catalogue_v1":  # a later cutoff needs another catalogue, so lists get another digest
                bundle = replace(bundle, config={**bundle.config, "as_of_us": run.as_of_us})
            bundles[name] = run.artifacts.store_bundle(bundle, run.slug)
        build = run.reference(snapshot="planted", bundles=bundles)
        planned = json.loads(json.dumps([s.as_json() for s in shards.plan_shards(run, build)]))
        return build, [shards.score_shard(run, ShardRef.from_json(s)) for s in planned]

    def build(self, days: int = 0) -> str:
        run = self.run(days)
        build, done = self.score(run)
        return str(assemble_release(run, build, done).release)


@pytest.fixture
def town(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Town:
    for module in (shards, arms):
        monkeypatch.setattr(module, "Snapshot", PlantedSnapshot)
    return Town(settings)


@pytest.fixture(scope="session")
def planted() -> Snapshot:
    return market()


@pytest.fixture(scope="session")
def planted_run() -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as home:
        yield Run.start(small(home=Path(home)), "planted", parse_instant(AS_OF), fresh=True)


@pytest.fixture(scope="session")
def holdout(planted_run: Run, planted: Snapshot) -> Holdout:
    return open_holdout(planted_run, planted)


@pytest.fixture
def learning_run(planted_run: Run, holdout: Holdout, planted: Snapshot, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the planted run. `Snapshot.open` finds the planted rows, its staging the base models."""
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: planted))
    return replace(planted_run)


Sql = Callable[..., list[Any]]


@pytest.fixture
def sql(settings: Settings) -> Sql:
    return partial(execute, settings)
