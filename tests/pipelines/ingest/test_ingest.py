"""Load a folder with all kinds of broken rows into PostgreSQL: reject them, store the others."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from models.errors import DataError
from models.schema import INTERACTIONS
from models.settings.settings import Settings
from pipelines.ingest.cells import check
from pipelines.ingest.ingest import Loaded, import_folder, loaded_folder
from pipelines.ingest.rows import chunks
from pipelines.postgres import engine, newest_event, transaction
from tests.databases import execute
from tests.paths import SHARED

U, V, W = (str(UUID(int=n, version=4)) for n in (1, 2, 3))
S, T = (str(UUID(int=n, version=4)) for n in (11, 12))
USERS = f"user_id,role\n{U},developer\n{V},investor\n"
STARTUPS = f"startup_id,name\n{S},Acme\n{T},Bolt\n"
EVENTS = f"user_id,startup_id,interaction_type,occurred_at\n{U},{S},view,2024-01-01T00:00:00Z\n"
REAL = SHARED / "data"


def folder(
    at: Path, users: str = USERS, startups: str = STARTUPS, interactions: str = EVENTS, zipped: bool = False
) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    for name, content in (("users", users), ("startups", startups), ("interactions", interactions)):
        data = content.encode("utf-8", "surrogateescape")
        (at / (f"{name}.csv.gz" if zipped else f"{name}.csv")).write_bytes(gzip.compress(data) if zipped else data)
    return at


def rejects(settings: Settings) -> list[tuple[Any, ...]]:
    return execute(settings, "SELECT file, line, reason FROM matchbook_rejected_rows ORDER BY file DESC, line")


@pytest.fixture
def lenient(settings: Settings) -> Settings:
    return settings.layered({"rejected_share": 1.0}, "given")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_clean_folder_is_loaded_whole_and_again_is_a_no_op(settings: Settings, tmp_path: Path, zipped: bool) -> None:
    data = folder(tmp_path / "data", zipped=zipped)
    loaded = import_folder(settings, data)
    assert loaded.counts == {"users": 2, "startups": 2, "interactions": 1} and not loaded.rejected and not loaded.report
    assert execute(
        settings, "SELECT user_id::text, occurred_at = '2024-01-01T00:00:00Z' FROM matchbook_interactions"
    ) == [(U, True)]
    assert import_folder(settings, data) == loaded == loaded_folder(engine(settings))
    assert import_folder(settings, folder(tmp_path / "other", zipped=not zipped)) == loaded  # the same data
    assert not list((settings.home / "rejected").iterdir())


def test_every_column_arrives(settings: Settings, tmp_path: Path) -> None:
    users = (
        "opted_out_at,updated_at,location,interests,skills,headline,name,created_at,role,user_id,source_id\n"
        '2024-03-01,2024-02-01T10:00:00+02:00,"Bern, CH",a;b,c;d,"Says ""hi""\nand more","Zoë",,founder,'
        f"{U.upper()},x\n"
    )
    startups = (
        "startup_id,name,description,category,field,type,tags,stage,location,founder_id,created_at,views,"
        f"updated_at,withdrawn_at\n{S},Acme,,c,f,t,x;y,seed,Bern,{U},2024-01-01T00:00:00.123456Z,12,2024-01-02,2999-01-01\n"
    )
    import_folder(settings, folder(tmp_path / "d", users, startups, EVENTS.partition("\n")[0]))
    assert execute(
        settings,
        "SELECT user_id::text, role, created_at, name, headline, skills, interests, location, "
        "updated_at::text, opted_out_at::text FROM matchbook_users",
    ) == [
        (
            U,
            "founder",
            None,
            "Zoë",
            'Says "hi"\nand more',
            "c;d",
            "a;b",
            "Bern, CH",
            "2024-02-01 08:00:00+00",
            "2024-03-01 00:00:00+00",
        )
    ]
    assert execute(
        settings,
        "SELECT description, category, field, type, tags, stage, founder_id::text, "
        "created_at::text, views, withdrawn_at::text FROM matchbook_startups",
    ) == [(None, "c", "f", "t", "x;y", "seed", U, "2024-01-01 00:00:00.123456+00", 12, "2999-01-01 00:00:00+00")]
    assert newest_event(settings) is None


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_do_not_matter(settings: Settings, tmp_path: Path, end: str, bom: str) -> None:
    whole = {"users": USERS, "startups": STARTUPS, "interactions": EVENTS}
    texts: dict[str, Any] = {name: bom + text.replace("\n", end) for name, text in whole.items()}
    loaded = import_folder(settings, folder(tmp_path / "d", **texts))
    assert loaded.counts == {"users": 2, "startups": 2, "interactions": 1}


GARBAGE = [
    (f"{U},{S},share,2024-01-01T00:00:00Z", "unknown type"),
    (f"{U},{S},View,2024-01-01T00:00:00Z", "unknown type"),
    (f"{U},{S},,2024-01-01T00:00:00Z", "no interaction_type"),
    (f"{U},{S},view,2999-01-01T00:00:00Z", "occurred_at lies in the future"),
    (f"{U},{S},view,yesterday", "occurred_at is no ISO 8601 instant"),
    (f"{U},{S},view,now", "occurred_at is no ISO 8601 instant"),
    (f"{U},{S},view,2024-02-30", "occurred_at is no ISO 8601 instant"),
    (f"{U},{S},view,", "no occurred_at"),
    (f"{U[:-1]},{S},view,2024-01-01T00:00:00Z", "user_id is no UUID"),
    (f",{S},view,2024-01-01T00:00:00Z", "no user_id"),
    (f"{U},{S}x,view,2024-01-01T00:00:00Z", "startup_id is no UUID"),
    (f"{W},{S},view,2024-01-01T00:00:00Z", "unknown user"),
    (f"{U},{W},view,2024-01-01T00:00:00Z", "unknown startup"),
    (f"{U},{S},view,2024-01-01T01:00:00+01:00", "duplicate event"),
    (f"{U.upper()},{S},view,2024-01-01", "duplicate event"),
    (f"{U},{S},view", "3 cells where the header has 4"),
    (f"{U},{S},view,2024-01-01T00:00:00Z,extra", "5 cells where the header has 4"),
    (f'{U},{S},"view,2024-01-01T00:00:00Z', "a quote is left open or misplaced"),
    (f'{U},"{S}"x,view,2024-01-01T00:00:00Z', "a quote is left open or misplaced"),
    (f"{U},{S},vi\0ew,2024-01-01T00:00:00Z", "a NUL character"),
    (f"{U},{S},vi\udcffew,2024-01-01T00:00:00Z", "not UTF-8"),
]


def test_every_kind_of_garbage_is_rejected_with_its_line(lenient: Settings, tmp_path: Path) -> None:
    good = f"{V},{T},like,2024-01-02T00:00:00Z"
    events = EVENTS + "".join(f"{row}\n\n" for row, _ in GARBAGE) + good  # blank lines count but are not rows
    data = folder(tmp_path / "d", interactions=events)
    loaded = import_folder(lenient, data)
    assert rejects(lenient) == [("interactions.csv", 3 + 2 * i, reason) for i, (_, reason) in enumerate(GARBAGE)]
    assert loaded.counts["interactions"] == 2 and sum(loaded.rejected.values()) == len(GARBAGE)
    assert loaded.rejected["interactions.csv: duplicate event"] == 2
    with open(loaded.report, newline="") as f:
        stood = {int(row["line"]): row["content"] for row in csv.DictReader(f)}
    assert stood[3] == GARBAGE[0][0] and stood[3 + 2 * 17] == GARBAGE[17][0] and "vi\\udcffew" in stood[3 + 2 * 20]
    assert import_folder(lenient, data) == loaded


ALONE = [g for g in GARBAGE if not g[1].startswith(("unknown u", "unknown s", "duplicate"))]  # need no other row


@pytest.mark.parametrize("row,reason", ALONE, ids=[f"{reason}-{i}" for i, (_, reason) in enumerate(ALONE)])
def test_both_ways_of_reading_accept_the_same_rows(row: str, reason: str) -> None:
    """The block reader and the line reader reject the same rows for the same reason."""
    names = INTERACTIONS.names
    found = []
    for quote in ("", '"'):  # a quoted cell sends the whole block to the line reader
        body = f"{quote}{U}{quote},{S},view,2024-01-01\n{row}\n".encode("utf-8", "surrogateescape")
        judged = [
            check(c, INTERACTIONS, datetime(2024, 6, 1, tzinfo=UTC), lambda *_: None)
            for c in chunks(io.BytesIO(body), names)
        ]
        found.append([(r.line, r.reason) for c in judged for r in c.rejects])
        assert sum(c.rows.num_rows for c in judged) == 1
    assert found == [[(3, reason)]] * 2


def test_garbage_in_people_and_startups(lenient: Settings, tmp_path: Path) -> None:
    users = (
        "user_id,role,created_at,updated_at\n"
        f"nobody,developer,,\n{U},developer,soon,\n{U},developer,2024-01-01,\n{U},investor,,\n{V},,,\n"
        f"{W},clown,,2999-01-01\n{T},clown,,\n"
    )
    startups = (
        f'startup_id,name,founder_id,views,created_at\n{S},"A\nB",{W},7,\n{T},C,no,,\n{T},C,,-1,\n{T},C,,1.5,\n'
        f"{S},D,,,\n"
    )
    loaded = import_folder(lenient, folder(tmp_path / "d", users, startups, EVENTS + f"{V},{S},view,2024-01-01\n"))
    assert rejects(lenient) == [
        ("users.csv", 2, "user_id is no UUID"),
        ("users.csv", 3, "created_at is no ISO 8601 instant"),
        ("users.csv", 5, "duplicate id"),
        ("users.csv", 6, "no role"),
        ("users.csv", 7, "updated_at lies in the future"),
        ("startups.csv", 4, "founder_id is no UUID"),
        ("startups.csv", 5, "views is no count"),
        ("startups.csv", 6, "views is no count"),
        ("startups.csv", 7, "duplicate id"),
        ("interactions.csv", 3, "unknown user"),
    ]
    assert loaded.counts == {"users": 2, "startups": 1, "interactions": 1}
    assert execute(lenient, "SELECT role FROM users ORDER BY role") == [("clown",), ("developer",)]


def test_too_much_garbage_stops_the_import_and_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    data = folder(tmp_path / "d", interactions=EVENTS + f"{U},{S},share,2024-01-01\n")
    expected = r"1 of 6 rows are broken.*unknown type \(1\).*\[export\] rejected_share"
    with pytest.raises(DataError, match=expected) as said:
        import_folder(settings, data)
    assert execute(settings, "SELECT count(*) FROM users") == [(0,)] and loaded_folder(engine(settings)) is None
    (report,) = (settings.home / "rejected").iterdir()
    assert str(report) in str(said.value) and ",3,unknown type," in report.read_text()


@pytest.mark.parametrize(
    "change,said",
    [
        ({"users": ""}, r"users\.csv is empty"),
        ({"users": "user_id,role\n"}, r"users\.csv has a header and no row"),
        (
            {"users": "user_id\nx\n", "interactions": "user_id,at\n"},
            "users.csv lacks the column role, interactions.csv lacks the column startup_id, interactions.csv lacks",
        ),
        ({"startups": "startup_id,name,name\n"}, "names a column twice: name"),
    ],
)
def test_a_folder_that_is_none_is_refused_before_anything_is_written(
    settings: Settings, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        import_folder(settings, folder(tmp_path / "d", **change))
    assert not (settings.home / "rejected").exists()


def test_files_that_are_missing_twice_or_broken(settings: Settings, tmp_path: Path) -> None:
    data = folder(tmp_path / "d")
    (data / "startups.csv").unlink()
    with pytest.raises(DataError, match=r"expected startups\.csv or startups\.csv\.gz"):
        import_folder(settings, data)
    (data / "startups.csv.gz").write_bytes(gzip.compress(STARTUPS.encode())[:-9])
    with pytest.raises(DataError, match=r"startups\.csv\.gz cannot be read"):
        import_folder(settings, data)
    (data / "startups.csv").write_text(STARTUPS)
    with pytest.raises(DataError, match="holds both"):
        import_folder(settings, data)


def test_another_folder_and_foreign_rows_are_refused(settings: Settings, tmp_path: Path) -> None:
    import_folder(settings, folder(tmp_path / "one"))
    expected = r"holds .*/one \(2 users, 2 startups, 1 interactions\).*make reset.*MATCHBOOK_HOME"
    with pytest.raises(DataError, match=expected):
        import_folder(settings, folder(tmp_path / "two", interactions=EVENTS + f"{V},{S},view,2024-01-01\n"))
    assert import_folder(settings, folder(tmp_path / "copy")).folder.endswith("/one")  # the same data in another folder


def test_rows_of_no_folder_are_not_mixed_with_one(settings: Settings, tmp_path: Path) -> None:
    with transaction(engine(settings)) as connection:
        connection.execute(text(f"INSERT INTO users (id, role) VALUES ('{W}', 'developer')"))
    with pytest.raises(DataError, match="users hold rows that were not imported from a data folder"):
        import_folder(settings, folder(tmp_path / "d"))
    with transaction(engine(settings)) as connection:
        connection.execute(text("DELETE FROM matchbook_migrations WHERE name LIKE 'platform/%'"))
    with pytest.raises(DataError, match="tables of another platform"):
        import_folder(settings, folder(tmp_path / "d"))


def test_the_indexes_are_there_after_an_import(settings: Settings, tmp_path: Path) -> None:
    question = "SELECT indexdef FROM pg_indexes WHERE tablename = 'user_interactions' ORDER BY 1"
    before = execute(settings, question)
    import_folder(settings, folder(tmp_path / "d"))
    assert execute(settings, question) == before and len(before) == 4


@pytest.mark.parametrize(
    "name,counts", [("crunchbase_slice", (5_510, 4_346, 28_503)), ("india_funding", (1_435, 1_184, 2_579))]
)
def test_real_data_is_loaded_whole(settings: Settings, name: str, counts: tuple[int, int, int]) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"{REAL / name} is not here")
    loaded: Loaded = import_folder(settings, REAL / name)
    assert tuple(loaded.counts.values()) == counts and not loaded.rejected
    assert execute(
        settings,
        "SELECT (SELECT count(*) FROM matchbook_users), (SELECT count(*) FROM matchbook_startups), "
        "(SELECT count(*) FROM matchbook_interactions)",
    ) == [counts]
