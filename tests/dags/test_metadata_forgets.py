"""An erasure removes an id from every metadata column of Airflow, in every text form, and keeps everything else."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, insert, select, text

from models.errors import ServiceError
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.airflow_records import _columns, metadata_with, scrub_metadata
from pipelines.erased import Person

PERSON, OTHER = Person(str(uuid.uuid4()), "0" * 32), str(uuid.uuid4())
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def opened(metadata: Any, tmp_path: Path) -> Any:
    """Return settings with a copy of the migrated metadata, its engine, and its tables."""
    engine, tables = metadata
    return Settings(home=tmp_path, airflow_database_url=Secret(str(engine.url))), engine, tables


def _run(connection: Any, tables: Any, run_id: str, conf: Any, state: str = "success") -> None:
    connection.execute(
        insert(tables["dag_run"]).values(
            dag_id="erase_person",
            run_id=run_id,
            state=state,
            run_type="manual",
            queued_at=NOW,
            start_date=NOW,
            conf=conf,
            run_after=NOW,
            updated_at=NOW,
            clear_number=0,
            span_status="ended",
        )
    )


def _spelt() -> list[str]:
    plain = PERSON.id.replace("-", "")
    mixed = "".join(c.upper() if i % 2 else c for i, c in enumerate(PERSON.id))
    return [PERSON.id, PERSON.id.upper(), plain, plain.upper(), mixed]


def test_whatever_holds_the_id_is_found_and_scrubbed(opened: Any) -> None:
    settings, engine, tables = opened
    with engine.begin() as connection:
        for n, id in enumerate(_spelt()):
            _run(connection, tables, f"r{n}", {"person": f" {id} ", id: [{"deep": [id, OTHER]}]})
            connection.execute(
                insert(tables["log"]).values(
                    dttm=NOW,
                    event="trigger",
                    run_id=f"about {id}",
                    extra=json.dumps({"conf": {"person": id}, "other": OTHER}),
                )
            )
        _run(connection, tables, f"named-{PERSON.id}", None)
        _run(connection, tables, f"named-{OTHER}", {"person": OTHER})
    before = metadata_with(settings, PERSON)
    assert {"dag_run.conf", "dag_run.run_id", "log.extra", "log.run_id"} <= set(before)

    assert scrub_metadata(settings, PERSON) == 16  # 5 parameters, 10 cells of the log, a run
    assert metadata_with(settings, PERSON) == [] and scrub_metadata(settings, PERSON) == 0

    with engine.begin() as connection:
        run = tables["dag_run"].c
        asked = select(run.run_id, run.conf).where(run.run_id.regexp_match("^(r[0-9]|named-)"))  # other runs exist here
        runs = {r.run_id: r.conf for r in connection.execute(asked)}
        log = tables["log"].c
        said = connection.scalars(select(log.extra).where(log.run_id.startswith("about "))).all()
    mark = f"<{PERSON.mark}>"
    assert runs == {
        **{f"r{n}": {"person": f" {mark} ", mark: [{"deep": [mark, OTHER]}]} for n in range(5)},
        f"named-{OTHER}": {"person": OTHER},
    }
    assert [json.loads(s) for s in said] == [{"conf": {"person": mark}, "other": OTHER}] * 5
    assert metadata_with(settings, Person(OTHER, "1" * 32)) != [], "others are still there"


def test_every_column_that_can_hold_text_or_bytes_is_looked_through(opened: Any) -> None:
    """Insert one row into each table that allows it without foreign keys: the id is found in each column."""
    settings, engine, tables = opened
    looked, skipped = set(), set()
    for table, column in _columns(list(tables.values())):
        with engine.begin() as connection:
            connection.execute(text("PRAGMA foreign_keys=OFF"))
            value: Any = PERSON.id.encode() if isinstance(column.type, LargeBinary) else PERSON.id
            cells = {c.name: _filler(c) for c in table.columns if not c.nullable and c.name != column.name}
            try:
                connection.execute(insert(table).values(**cells, **{column.name: value}))
            except Exception as error:
                skipped.add((f"{table.name}.{column.name}", type(error).__name__))
                continue
            looked.add(f"{table.name}.{column.name}")
    found = set(metadata_with(settings, PERSON))
    assert looked <= found, f"not seen: {looked - found}"
    assert len(looked) > 10 * len(skipped) and len(looked) > 150, skipped


_counter = iter(range(1000, 10**6))


def _filler(column: Any) -> Any:
    kind = column.type.python_type
    number = next(_counter)
    if kind in (int, float, bool):
        return number if kind is int else 0
    known = {str: f"x{number}", bytes: b"x", dict: {}, datetime: NOW, uuid.UUID: uuid.uuid4()}
    return known.get(kind, "x")


def test_without_an_address_nothing_is_done_and_a_wrong_one_is_reported(tmp_path: Path) -> None:
    assert scrub_metadata(Settings(home=tmp_path), PERSON) == 0 and metadata_with(Settings(home=tmp_path), PERSON) == []
    wrong = Settings(home=tmp_path, airflow_database_url=Secret("postgresql://nobody:secret@127.0.0.1:9/airflow"))
    with pytest.raises(ServiceError, match="MATCHBOOK_AIRFLOW_DATABASE_URL") as told:
        scrub_metadata(wrong, PERSON)
    assert "secret" not in str(told.value)
