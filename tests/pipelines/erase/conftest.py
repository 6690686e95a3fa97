"""Build a marketplace twice, put a user into every place that stores data, and search every place."""

from __future__ import annotations

import csv
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

import pipelines.erase.erase as erasing
import tests.databases as databases
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.lists.redis_format import POPULAR_FIELD, TrendingList, decode_list
from models.schema import LIST_KINDS, Entity, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.erase.servers import person_of
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine
from pipelines.publish.history import promote
from pipelines.run_build import run_build
from pipelines.store.artifacts import Artifacts
from tests.marketplace import small
from tests.marketplace.tiny import AFTER_ALL, identity, write_tiny_marketplace
from tests.pipelines.publish.published import Published
from tests.stored import cells, value

#: Two parts of the longest kind of lists, one of each other: an erasure writes and searches every file.
SMALL = small.SMALL | {"shards": 5, "graph_filter_min_pairs": 0.0, "views_are_seen": False, "ranker_cuts": 1}
MOULD = "erasure_mould"
#: A hot developer with all kinds of events, founder of a startup, in a place without other users.
PERSON = identity("user", 23)
REDIS_DATABASE = 10  # not the one that is emptied before each test
Lists = dict[tuple[str, str], list[tuple[str, bytes]]]


@dataclass(frozen=True, eq=False)
class City(Published):
    """The settings, both releases, and the content of Redis."""

    older: str
    live: str

    def execute(self, statement: str, *values: object) -> databases.Rows:
        return databases.at_once(self.settings, statement, *values)

    def lists(self, release: str | None = None) -> Lists:
        """Return (id, score, source and reason bytes) of each place in Redis, by (kind of list, owner or *)."""
        name = release or self.current
        catalogue = Artifacts(self.settings).open_bundle(
            CATALOGUE, Artifacts(self.settings).release(name).bundles[CATALOGUE]
        )
        entities = entities_of(catalogue)
        found: Lists = {}
        for kind in LIST_KINDS:
            ids = entities[kind.item].ids.ids
            for field, cell in cells(self.client, self.keys.lists(name, kind)).items():
                places = decode_list(cell)
                rows = zip(places.score, places.source, places.reason, strict=True)
                owner = "*" if field == POPULAR_FIELD else str(UUID(bytes=field))
                found[kind.value, owner] = [
                    (str(ids[i]), np.array(c).tobytes()) for i, c in zip(places.item, rows, strict=True)
                ]
        return found


Traces = Callable[[City], list[str]]


@pytest.fixture(scope="session")
def mould(server_settings: Settings, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> City:
    """Build two stored releases. Each test copies the home and the database."""
    home = tmp_path_factory.mktemp("mould")
    settings = databases.create(server_settings, MOULD, template_database).layered({**SMALL, "home": home}, "given")
    import_folder(settings, _folder(home / "data"))
    with small.quick_builds():
        older, live = (
            run_build(settings, as_of=AFTER_ALL - timedelta(days=d), publish=False)["release"] for d in (7, 0)
        )
    engine(settings).dispose()  # a database in use cannot be copied
    return City(settings, older, live)


@pytest.fixture
def city(settings: Settings, mould: City, monkeypatch: pytest.MonkeyPatch) -> Iterator[City]:
    monkeypatch.setattr(erasing, "FOLLOW_S", 0.0)
    with _copy(settings, mould) as made:
        yield made


@contextmanager
def _copy(settings: Settings, mould: City) -> Iterator[City]:
    """Copy the home and the database, and load both releases."""
    name = f"city_{uuid.uuid4().hex[:8]}"
    settings = databases.create(settings, name, MOULD).layered(SMALL, "given")
    shutil.copytree(mould.settings.artifacts, settings.artifacts)
    for release in (mould.older, mould.live):
        promote(settings, release)
    yield City(settings, mould.older, mould.live)
    engine(settings).dispose()
    databases.drop(settings, name)


def _folder(path: Path) -> Path:
    """Write the tiny marketplace, with the user as a founder in a place without others."""
    write_tiny_marketplace(path)
    for file, change in (("users", _moved), ("startups", _founded)):
        with (path / f"{file}.csv").open(newline="") as f:
            rows = [change(row) for row in csv.DictReader(f)]
        with (path / f"{file}.csv").open("w", newline="") as f:
            table = csv.DictWriter(f, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    return path


def _moved(row: dict[str, str]) -> dict[str, str]:
    return row | {"location": "Tinyville"} if row["user_id"] == PERSON else row


def _founded(row: dict[str, str]) -> dict[str, str]:
    return row | {"founder_id": PERSON} if row["startup_id"] == identity("startup", 1) else row


@dataclass(frozen=True, eq=False)
class Erased:
    """A planted city without the person. before: what Redis and the search showed. receipt: of the erasure."""

    city: City
    mould: City
    before: Before
    receipt: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Before:
    """The lists of each release, the bytes of the investors' live lists, trending ids, and the number of finds."""

    lists: dict[str, Lists]
    raw: dict[bytes | str, bytes | str]
    trending: dict[Surface, list[str]]
    finds: list[int]


@pytest.fixture(scope="session")
def erased(server_settings: Settings, mould: City, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Erased]:
    """Erase the person once, for tests that only read what is left. No other test empties this Redis database."""
    address = server_settings.redis_url.reveal().rpartition("/")[0]
    mine = replace(
        server_settings,
        home=tmp_path_factory.mktemp("erased"),
        redis_url=Secret(f"{address}/{REDIS_DATABASE}"),
        namespace=f"test-{uuid.uuid4().hex[:8]}",
    )
    with _copy(mine, mould) as city:
        plant(city)
        before = Before(
            {release: city.lists(release) for release in (city.older, city.live)},
            city.client.hgetall(city.keys.lists(city.live, Surface.STARTUPS_FOR_INVESTOR)),
            {s: TrendingList.decode(value(city.client, city.keys.trending(s))).ids.tolist() for s in Surface},
            [len(traces_of(city)), len(erasing.traces_left(city.settings, person_of(city.settings, PERSON)))],
        )
        with pytest.MonkeyPatch.context() as patch:  # not while other tests run
            patch.setattr(erasing, "FOLLOW_S", 0.0)
            receipt = erasing.erase(city.settings, f" {PERSON.upper()} ")
        yield Erased(city, mould, before, receipt)


@pytest.fixture
def planted(city: City) -> City:
    return plant(city)


def plant(city: City) -> City:
    """Leave data of the person wherever the reader, imports, builds and logs leave it."""
    settings, client, keys = city.settings, city.client, city.keys
    startup, packed = identity("startup", 4), UUID(PERSON).bytes
    city.execute(
        "INSERT INTO matchbook_events (event_id, user_id, startup_id, type, at) VALUES "
        "('e1', %s, %s, 'dismiss', '2024-04-01'), ('e2', %s, %s, 'like', '2024-04-02')",
        PERSON,
        startup,
        PERSON,
        identity("startup", 6),
    )
    city.execute("INSERT INTO matchbook_rejected_rows VALUES ('x.csv', 3, 'why', %s)", f"{PERSON.upper()},x")
    for surface in Surface:
        client.set(keys.live(city.live, surface, PERSON), b"x", ex=600)
        client.set(keys.live(city.older, surface, PERSON), b"x", ex=600)
        client.set(keys.live("a-release-that-is-gone", surface, PERSON), b"x", ex=600)
        client.set(keys.flight("a-release-that-is-gone", surface, PERSON), b"x", ex=600)
    client.set(keys.count(Entity.USER, PERSON), b"7", ex=600)
    for other in (startup, identity("startup", 6)):
        client.hset(keys.since(Entity.USER, PERSON), UUID(other).bytes, b"\x02" + bytes(8))
        for met in (packed, b"n" * 16):
            client.hset(keys.since(Entity.STARTUP, other), met, b"\x02" + bytes(8))
    # the person's own hash has expired first, so nothing names the hash of the other side
    client.hset(keys.since(Entity.STARTUP, identity("startup", 13)), packed, b"\x00" + bytes(8))
    client.sadd(keys.hidden(Entity.USER), packed, b"n" * 16)
    client.set(keys.hidden_version, 5)
    client.xadd(keys.events, {"event_id": "e3", "user_id": PERSON, "startup_id": startup, "type": "like"})
    client.xadd(keys.events, {"event_id": "e4", "user_id": identity("user", 8), "startup_id": startup, "type": "like"})
    _leave_files(settings)
    return city


def _leave_files(settings: Settings) -> None:
    for folder, text in (
        ("rejected", f"file,line\nusers.csv,{PERSON}\nusers.csv,somebody else\n"),
        ("logs", f"owner {PERSON} asked\n"),
        ("airflow/logs", f"id={PERSON.replace('-', '')}!\n"),
    ):
        (settings.home / folder).mkdir(parents=True, exist_ok=True)
        (settings.home / folder / "a.csv").write_text(text)
    run = settings.artifacts / "runs" / "of-yesterday"
    run.mkdir()
    np.savez_compressed(run / "staged.npz", ids=np.array([PERSON]))


@pytest.fixture
def traces() -> Traces:
    return traces_of


def traces_of(city: City) -> list[str]:
    """Search raw bytes, keys and rows for the person, without code of the product."""
    forms = [UUID(PERSON).bytes, PERSON.encode(), PERSON.encode("utf-32-le"), PERSON.replace("-", "").encode()]
    files = [p for p in city.settings.home.rglob("*") if p.is_file()]
    found = [str(p) for p in files if any(f in p.read_bytes() for f in forms)]
    for key in city.client.scan_iter(f"{city.settings.namespace}:*"):
        content = key + (city.client.dump(key) or b"")
        found += [str(key)] if any(f in content for f in forms) else []
    for table in ("events", "interaction_counts", "rejected_rows", "erased"):
        rows = city.execute(f"SELECT t::text FROM matchbook_{table} AS t")
        found += [f"{table}: {row}" for (row,) in rows if PERSON in row.lower()]
    return found
