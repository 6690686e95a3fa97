"""Test the parts of an erasure: marks, archive search, a platform that still has the user."""

from __future__ import annotations

import gzip
import io
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
import torch

from models.data.entities import IdMap
from models.settings.settings import Settings
from models.two_tower.network import zero_embedding
from pipelines.erase.search import files_with, keys_with
from pipelines.erase.servers import erase_rows, person_of
from pipelines.erased import Person, read_erased
from pipelines.export.export import export_snapshot
from pipelines.export.snapshot import Snapshot
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine, rows, transaction
from pipelines.run.run import Run
from pipelines.store.artifacts import Artifacts
from tests.marketplace.tiny import AFTER_ALL, identity, write_tiny_marketplace

PERSON = Person(identity("user", 23), "mark")


def test_the_database_and_python_make_the_same_mark_and_only_for_the_erased(settings: Settings) -> None:
    erased, other = person_of(settings, PERSON.id), person_of(settings, identity("user", 24))
    erase_rows(settings, erased)
    with transaction(engine(settings)) as connection:
        known = read_erased(connection)
    assert known.marks == {erased.mark} and len(erased.mark) == 32 and other.mark != erased.mark
    ids = IdMap.from_ids([erased.id, other.id])
    assert ids.ids[known.mask(ids.packed())].tolist() == [erased.id]


def _npz(compressed: bool) -> bytes:
    sink = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(sink, ids=np.array([PERSON.id] * 3))
    return sink.getvalue()


def _parquet(codec: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": [1, 2], "id": ["x", PERSON.id]}), sink, compression=codec)
    return sink.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        PERSON.id.encode(),
        PERSON.id.upper().encode(),
        b"..." + PERSON.packed,
        PERSON.id.replace("-", "").encode(),
        _npz(False),
        _npz(True),
        gzip.compress(b"a," + PERSON.id.encode()),
        _parquet("zstd"),
        _parquet("none"),
        gzip.compress(_npz(True)),
        b"PK\x03\x04 no archive at all " + PERSON.packed,
    ],
    ids=[
        "text",
        "capitals",
        "packed",
        "hex",
        "npz",
        "npz compressed",
        "gz",
        "parquet zstd",
        "parquet",
        "npz in gz",
        "broken zip",
    ],
)
def test_the_search_finds_an_id_in_every_form(
    content: bytes, tmp_path: Path, settings: Settings, redis_url: str
) -> None:
    path = tmp_path / "deep" / "down"
    path.parent.mkdir()
    path.write_bytes(content)
    (tmp_path / "another").write_text(identity("user", 24))
    assert files_with(tmp_path, PERSON) == [path]

    client = redis.Redis.from_url(redis_url)
    client.set(f"{settings.namespace}:string", content)
    client.hset(f"{settings.namespace}:hash", b"field", content)
    client.xadd(f"{settings.namespace}:stream", {"entry": content})
    client.rpush(f"{settings.namespace}:list", b"other", content)
    client.sadd(f"{settings.namespace}:set", content)
    client.zadd(f"{settings.namespace}:zset", {content: 1.0})
    client.set(f"{settings.namespace}:other", identity("user", 24))
    found = {key.rpartition(":")[2] for key, _ in keys_with(settings, client, PERSON)}
    assert found == {"string", "hash", "stream", "list", "set", "zset"}


def test_nothing_is_written_down_in_clear() -> None:
    said = PERSON.hidden(f"a {PERSON.id} b {PERSON.id.upper()} c {PERSON.id.replace('-', '')} d")
    assert said == "a <mark> b <mark> c <mark> d"


def test_the_embedding_of_one_id_is_zeroed_and_twice_gives_the_same_bytes() -> None:
    weights = {name: torch.ones(4, 2) for name in ("user_id.weight", "item_id.weight", "user_words.weight")}
    sink = io.BytesIO()
    torch.save(weights, sink)
    once, again = (zero_embedding(sink.getvalue(), "user", 1) for _ in range(2))
    found = torch.load(io.BytesIO(once), weights_only=True)
    assert once == again and found["user_id.weight"].sum(dim=1).tolist() == [2, 2, 0, 2]
    assert found["item_id.weight"].sum() == found["user_words.weight"].sum() == 8


def test_an_export_skips_erased_users_and_reports_nothing_about_them(settings: Settings, tmp_path: Path) -> None:
    """The platform has events but no profile of them. They must not count as rows of unknown users."""
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    startup, founder = identity("startup", 4), identity("user", 9)
    with transaction(engine(settings)) as connection:
        connection.exec_driver_sql("DELETE FROM users WHERE id = %s", (PERSON.id,))
        connection.exec_driver_sql("UPDATE startups SET founder_id = %s WHERE id = %s", (founder, startup))
        connection.exec_driver_sql(
            "INSERT INTO user_interactions VALUES (%s, %s, 'wink', '2024-02-01')", (PERSON.id, startup)
        )
    for one in (PERSON.id, founder):
        erase_rows(settings, person_of(settings, one))

    run = Run.start(settings, "r", AFTER_ALL)
    path = Artifacts(settings).root / "snapshots" / export_snapshot(run)

    snapshot = Snapshot.open(path)
    assert snapshot.manifest["counts"]["users"] == 34 and snapshot.manifest["rejected"] == {}
    assert files_with(path, PERSON) == [] and files_with(path, Person(founder, "")) == []
    assert "" in snapshot.startups["founder_id"].to_pylist()


def test_the_reader_asks_for_the_tombstone_too(settings: Settings, tmp_path: Path) -> None:
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    startup = identity("startup", 4)

    def known(entity: str, owner: str) -> int:
        more = {"as_of": AFTER_ALL} if entity == "user" else {}
        return len(rows(engine(settings), f"owner/{entity}", owner=uuid.UUID(owner), **more))

    assert (known("user", PERSON.id), known("startup", startup)) == (1, 1)
    for one in (PERSON.id, startup):
        erase_rows(settings, person_of(settings, one))
    assert (known("user", PERSON.id), known("startup", startup)) == (0, 0)
    assert known("user", identity("user", 24)) == 1
