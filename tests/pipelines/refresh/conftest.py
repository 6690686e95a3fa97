"""Build the tiny marketplace once. Each test changes a copy and refreshes."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import pipelines.erase.erase as erasing
import tests.databases as databases
from models import registry
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.entities import Entities
from models.lists.redis_format import POPULAR_FIELD, StoredList, decode_list
from models.lists.release import Release
from models.schema import Entity, ListKind, Surface
from models.settings.settings import Settings
from pipelines.evaluate.evaluate import choose_bundles
from pipelines.export.export import export_snapshot
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine
from pipelines.publish.assemble import assemble_release
from pipelines.publish.history import promote
from pipelines.refresh.refresh import refresh
from pipelines.run.run import Run
from pipelines.score.shards import plan_shards, score_shard
from pipelines.store.artifacts import Artifacts
from pipelines.train.train import train
from tests.marketplace import small
from tests.marketplace.tiny import AFTER_ALL, write_tiny_marketplace
from tests.pipelines.publish.published import Published
from tests.stored import cells, texts

SMALL = small.SMALL | {"shards": 5, "depth": 12, "ranker": "rules"}
HOUR = timedelta(hours=1)


@dataclass(frozen=True, eq=False)
class Town(Published):
    """A platform with new events, and its Redis. built: the first live release."""

    built: str

    @property
    def live(self) -> str:
        return self.current

    @property
    def history(self) -> list[str]:
        return texts(self.client, self.keys.history)

    def execute(self, statement: str, **values: Any) -> None:
        databases.execute(self.settings, statement, **values)

    def met(self, user: str, startup: str, after: timedelta = timedelta(minutes=1), kind: str = "like") -> None:
        self.execute(
            "INSERT INTO user_interactions VALUES (:u, :s, :k, :at)", u=user, s=startup, k=kind, at=AFTER_ALL + after
        )

    def opened(self, startup: str, after: timedelta = timedelta(minutes=2), **words: str) -> str:
        words = {
            "category": "Gaming",
            "field": "unity",
            "tags": "unity;pixel",
            "description": "unity and pixel",
            "location": "Oslo",
            **words,
        }
        names = ", ".join(words)
        self.execute(
            f"INSERT INTO startups (id, created_at, {names}) VALUES (:id, :at, :{', :'.join(words)})",
            id=startup,
            at=AFTER_ALL + after,
            **words,
        )
        return startup

    def joined(self, user: str, role: str = "developer", after: timedelta = timedelta(minutes=2), **words: str) -> str:
        words = {"headline": "Gaming unity", "skills": "unity", "interests": "Gaming;pixel", **words}
        names = ", ".join(words)
        self.execute(
            f"INSERT INTO users (id, role, created_at, {names}) VALUES (:id, :r, :at, :{', :'.join(words)})",
            id=user,
            r=role,
            at=AFTER_ALL + after,
            **words,
        )
        return user

    def refresh(self, hours: float = 1.0, **given: Any) -> dict[str, Any]:
        return refresh(self.settings, f"refresh-{uuid.uuid4().hex[:8]}", self.at(hours), **given)

    def at(self, hours: float) -> datetime:
        return AFTER_ALL + hours * HOUR

    def release(self, name: str | None = None) -> Release:
        return Artifacts(self.settings).release(name or self.live)

    def entities(self, name: str | None = None) -> dict[Entity, Entities]:
        version = self.release(name).bundles[CATALOGUE]
        return entities_of(Artifacts(self.settings).open_bundle(CATALOGUE, version))

    def raw(self, surface: ListKind, name: str | None = None) -> dict[bytes, bytes]:
        return cells(self.client, self.keys.lists(name or self.live, surface))

    def listing(self, surface: ListKind, owner: str) -> StoredList:
        return decode_list(self.raw(surface)[UUID(owner).bytes])

    def items(self, surface: ListKind, owner: str) -> list[str]:
        ids = self.entities()[surface.item].ids.ids
        return [str(i) for i in ids[self.listing(surface, owner).item]]

    def listing_ids(self, surface: Surface, item: str) -> set[str]:
        """Return the owners whose live list has an item."""
        owners = [str(UUID(bytes=f)) for f in self.raw(surface) if f != POPULAR_FIELD]
        return {o for o in owners if item in self.items(surface, o)}

    def build(self, hours: float) -> str:
        """Store another build. Return its release."""
        return built(self.settings, self.at(hours))


def built(settings: Settings, as_of: datetime) -> str:
    """Build and store without evaluation and training of rankers. Return the release."""
    run = Run.start(settings, f"build-{uuid.uuid4().hex[:8]}", as_of)
    snapshot = export_snapshot(run)
    build = run.reference(snapshot=snapshot)
    build = choose_bundles(run, build, [train(run, build, name) for name in registry.bundles()], [])
    shards = [score_shard(run, s) for s in plan_shards(run, build)]
    return assemble_release(run, build, shards).release


@pytest.fixture(scope="session")
def mould(server_settings: Settings, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Store one build. Each test copies the home and the database."""
    home, name = tmp_path_factory.mktemp("refresh-mould"), f"refresh_mould_{uuid.uuid4().hex[:8]}"
    settings = databases.create(server_settings, name, template_database).layered({**SMALL, "home": home}, "given")
    import_folder(settings, write_tiny_marketplace(home / "data"))
    name = built(settings, AFTER_ALL)
    engine(settings).dispose()  # a database in use cannot be copied
    return Town(settings, name)


@pytest.fixture
def town(settings: Settings, mould: Town, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    monkeypatch.setattr(erasing, "FOLLOW_S", 0.0)
    name = f"town_{uuid.uuid4().hex[:8]}"
    shutil.copytree(mould.settings.artifacts, settings.artifacts)
    template = mould.settings.database_url.reveal().rpartition("/")[2]
    mine = databases.create(settings, name, template).layered(SMALL, "given")
    promote(mine, mould.built)
    yield Town(mine, mould.built)
    engine(mine).dispose()
    databases.drop(settings, name)
