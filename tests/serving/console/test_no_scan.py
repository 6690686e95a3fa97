"""No page of people or startups reads a whole table, with 200,000 people, startups and events."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from models.schema import Entity, Role
from models.settings.settings import Settings
from serving.clients.postgres import Database
from tests.serving.conftest import Company, Execute, Person, Publish, Start

ROWS = 200_000
_ID = "('0000{}-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
_USER, _STARTUP = _ID.format("0001"), _ID.format("0002")
#: As on a platform of its own: our indexes of words are not there.
FILL = (
    "DROP INDEX idx_users_words",
    "DROP INDEX idx_startups_words",
    f"INSERT INTO users (id, role, name, created_at) SELECT {_USER}, 'investor', 'Person ' || n, '2020-01-01' "
    f"FROM generate_series(1, {ROWS}) AS n",
    f"INSERT INTO startups (id, name, created_at) SELECT {_STARTUP}, 'Startup ' || n, '2020-01-01' "
    f"FROM generate_series(1, {ROWS}) AS n",
    f"INSERT INTO user_interactions SELECT {_USER}, {_STARTUP}, 'like', timestamptz '2026-01-01' + n * interval '1 s' "
    f"FROM generate_series(1, {ROWS}) AS n",
    "INSERT INTO matchbook_answers (answer_id, surface, method, route, release, live, day) SELECT 'a' || n, "
    f"CASE n % 2 WHEN 0 THEN 'startups/for-investor' ELSE 'investors/for-startup' END, 'als', 'als', 'r', false, "
    f"'2026-01-01' FROM generate_series(1, {ROWS}) AS n",
    f"INSERT INTO matchbook_events (event_id, user_id, startup_id, type, at, answer_id) SELECT 'e' || n, {_USER}, "
    f"{_STARTUP}, 'impression', timestamptz '2026-01-01' + n * interval '1 s', 'a' || n "
    f"FROM generate_series(1, {ROWS}) AS n",
    "ANALYZE",
)
TABLES = ("users", "startups", "user_interactions", "matchbook_events", "matchbook_answers")
_SCANS = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY(%s)"


@pytest.fixture
def client(publish: Publish, rows: str, start: Start, execute: Execute) -> FlaskClient:
    publish()
    for statement in FILL:
        execute(statement)
    return start().test_client()


def scans(execute: Execute) -> dict[str, int]:
    """Return the number of sequential scans of each table so far. A session reports its own when it ends."""
    found: Any = execute(_SCANS, list(TABLES))
    return dict(found)


def test_no_page_reads_a_whole_table(
    client: FlaskClient, settings: Settings, execute: Execute, person: Person, company: Company
) -> None:
    paths = [
        "/people",
        "/people?q=person&order=busy&segment=hot",
        "/startups?order=least&state=listed",
        f"/people/{person(Role.DEVELOPER, 4)}?why={company(2)}",
        f"/startups/{company(2)}",
        "/people/00000001-0000-4000-8000-000000030d40",  # came after the build
        "/startups/00000002-0000-4000-8000-000000030d40",
        "/releases/compare",
    ]
    client.get("/people")  # the reader looks for hidden ids once, before the count
    close(client)
    before = scans(execute)
    for path in paths:
        assert client.get(path).status_code == 200, path
    close(client)
    assert scans(execute) == before


def test_the_questions_find_what_was_filled_in(client: FlaskClient, settings: Settings) -> None:
    """Otherwise the test above would count questions about nothing."""
    page = client.get("/people/00000001-0000-4000-8000-000000030d40").text
    assert "Person 200000" in page and "Startup 200000" in page and "2026-01-03" in page
    database = Database(settings)
    try:
        assert database.profile(Entity.STARTUP, "00000002-0000-4000-8000-000000030d40")["name"] == "Startup 200000"  # type: ignore[index]
    finally:
        database.close()


def close(client: FlaskClient) -> None:
    """End the reader's sessions, so that PostgreSQL has their counts."""
    client.application.extensions["matchbook"].database.close()
