"""Import, build, serve and erase unusual ids like all others. The nil UUID is no user."""

from __future__ import annotations

import csv
import uuid
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

import pipelines.erase.erase as erasing
from models.data.entities import NIL, IdMap, unpack_ids
from models.data.event import Event
from models.errors import DataError, MalformedEvent
from models.lists.redis_format import Keys, since_value
from models.schema import Entity, Surface
from models.settings.settings import Settings
from pipelines.erase.erase import erase
from pipelines.erase.search import holds, keys_with
from pipelines.erased import Person
from pipelines.export.export import export_snapshot
from pipelines.export.snapshot import Snapshot
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine, transaction
from pipelines.run.run import EPOCH, Run
from pipelines.run_build import run_build
from serving.app import create_app
from serving.clients.postgres import Database
from tests.marketplace.tiny import AFTER_ALL, identity, write_tiny_marketplace
from tests.pipelines.erase.conftest import SMALL

#: First bytes of gzip, zip, Parquet and NumPy files; line ends and zeros; the last id; the field of the popular list.
HOSTILE = [
    str(uuid.UUID(bytes=(head + b"\0" * 16)[:16]))
    for head in (
        b"\x1f\x8b",
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
        b"PK\x03\x04",
        b"PAR1",
        b"\x93NUMPY\x01",
        b"\n" * 16,
        b"\r\n\r\n",
        b"\xff" * 16,
        b"*" * 16,
        b"\x80\x04",
        b'{"',
        b"\0" * 15 + b"\x01",
        b"\0" * 8 + b"\x01",
        b"\x01",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
    )
]
IDS = (
    st.sampled_from(HOSTILE)
    | st.uuids().map(str)
    | st.binary(min_size=16, max_size=16).map(lambda b: str(uuid.UUID(bytes=b))).filter(lambda i: i != NIL)
)


@tries(max_examples=200, deadline=None)
@given(st.lists(IDS, unique=True, max_size=12), st.binary(max_size=40))
def test_any_ids_are_packed_found_and_never_mistaken(ids: list[str], other: bytes) -> None:
    known = IdMap.from_ids(ids)
    assert IdMap.from_packed(known.packed()).ids.tolist() == sorted(ids)
    assert unpack_ids(known.packed()).tolist() == sorted(ids) and not known.blank.any()
    for id in ids:
        person = Person(id, "mark")
        assert holds(person.packed, person) and holds(b"x" + person.packed + other, person)


def test_the_nil_uuid_names_nobody() -> None:
    with pytest.raises(DataError, match="nil UUID"):
        IdMap.from_ids([NIL, HOSTILE[0]])
    told = {"event_id": "e", "user_id": HOSTILE[0], "startup_id": HOSTILE[0], "type": "view"}
    assert Event.read(told, EPOCH).user == HOSTILE[0]
    for field in ("user_id", "startup_id"):
        with pytest.raises(MalformedEvent, match=field):
            Event.read(told | {field: NIL}, EPOCH)


def test_the_search_of_keys_guesses_nothing(settings: Settings, redis_url: str) -> None:
    """The search reads the id field of keys. It finds every hostile id and no other."""
    client, keys = redis.Redis.from_url(redis_url), Keys(settings.namespace)
    packed = [uuid.UUID(id).bytes for id in HOSTILE]
    client.hset(keys.since(Entity.USER, HOSTILE[0]), mapping={p: since_value(1, 5) for p in packed[::2]})
    client.sadd(keys.hidden(Entity.USER), *packed[::2])
    client.hset(keys.lists("r", Surface.STARTUPS_FOR_DEVELOPER), mapping={p: b"\1\0" + bytes(40) for p in packed[::2]})
    for number, id in enumerate(HOSTILE):
        found = {where for _, where in keys_with(settings, client, Person(id, "mark"))} - {"name"}
        assert found == ({"field", "member"} if number % 2 == 0 else set()), id


def test_nil_rows_of_the_platform_are_rejected(settings: Settings, tmp_path: Path) -> None:
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    user, startup = identity("user", 9), identity("startup", 1)
    with transaction(engine(settings)) as connection:
        for statement in (
            f"INSERT INTO users (id, role) VALUES ('{NIL}', 'developer')",
            f"INSERT INTO startups (id, founder_id) VALUES ('{NIL}', '{NIL}')",
            f"UPDATE startups SET founder_id = '{NIL}' WHERE id = '{startup}'",
            f"INSERT INTO user_interactions VALUES ('{NIL}', '{startup}', 'like', '2024-02-01')",
            f"INSERT INTO user_interactions VALUES ('{user}', '{NIL}', 'like', '2024-02-01')",
        ):
            connection.exec_driver_sql(statement)
    run = Run.start(settings.layered({"rejected_share": 0.5}, "given"), "r", AFTER_ALL)
    snapshot = Snapshot.open(run.artifacts.root / "snapshots" / export_snapshot(run))
    assert snapshot.manifest["rejected"] == {"no id": 2, "unknown user": 1, "unknown startup": 1}
    assert (snapshot.entities(Entity.STARTUP).founder == -1).all() and not snapshot.user_ids.blank.any()
    assert Database(settings).owner(Entity.USER, NIL, AFTER_ALL) is None


@pytest.fixture
def house(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Load the tiny marketplace with hostile ids, some shared by a person and a startup, and nil rows."""
    monkeypatch.setattr(erasing, "FOLLOW_S", 0.0)
    folder = write_tiny_marketplace(tmp_path / "data")
    new = {identity("user", n + 8): id for n, id in enumerate(HOSTILE)}
    new |= {identity("startup", n): id for n, id in enumerate(HOSTILE[:15])}
    nil = {
        "users": {"user_id": NIL, "role": "developer"},
        "startups": {"startup_id": NIL, "name": "Nobody's"},
        "interactions": {
            "user_id": NIL,
            "startup_id": NIL,
            "interaction_type": "like",
            "occurred_at": "2024-02-01T00:00:00Z",
        },
    }
    for name, extra in nil.items():
        with (folder / f"{name}.csv").open(newline="") as f:
            rows = [{k: new.get(v, v) for k, v in row.items()} for row in csv.DictReader(f)]
        with (folder / f"{name}.csv").open("w", newline="") as f:
            table = csv.DictWriter(f, list(rows[0]))
            table.writeheader()
            table.writerows([*rows, dict.fromkeys(rows[0], "") | extra])
    settings = settings.layered({**SMALL, "rejected_share": 0.5, "live_budget_s": 20.0}, "given")
    loaded = import_folder(settings, folder)
    assert sorted(loaded.rejected) == [
        f"{file}.csv: {column} is the nil UUID, which names nobody"
        for file, column in (("interactions", "user_id"), ("startups", "startup_id"), ("users", "user_id"))
    ]
    return settings


def test_a_marketplace_of_hostile_ids_is_built_served_and_erased(house: Settings) -> None:
    assert run_build(house, as_of=AFTER_ALL, force=True)["published"]
    app = create_app(house)
    client = app.test_client()
    for surface in Surface:
        asked = [client.get(f"/api/recommendations/{surface}/{id}?limit=100") for id in [*HOSTILE, NIL]]
        asked += [client.get(f"/api/recommendations/{surface}/{kind}?limit=100") for kind in ("popular", "trending")]
        assert {a.status_code for a in asked} == {200}
        kind = "users" if surface.owner is Entity.STARTUP else "startups"
        shown = {item["id"] for a in asked for item in a.get_json()[kind]}
        assert "" not in shown and NIL not in shown and all(uuid.UUID(id) for id in shown)
        assert shown & set(HOSTILE)
    app.extensions["matchbook"].close()
    for id in (HOSTILE[0], HOSTILE[11], HOSTILE[7]):
        assert erase(house, id)["left"] == []
    with pytest.raises(DataError, match="names nobody"):
        erase(house, NIL)
