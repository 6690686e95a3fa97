"""A failure of one purpose does not stop the others. The reader follows a failover behind one host name."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import pytest

from models.schema import Role, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.publish.publish import publish_release
from serving.clients.breaker import Breaker
from tests.own_redis import own_redis
from tests.serving.conftest import Execute, Person, Publish, Start, event
from tests.serving.proxy import Proxy
from tests.serving.test_outages import ask
from tests.waiting import until

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


def test_a_failed_write_does_not_block_reads(
    settings: Settings, start: Start, rows: str, publish: Publish, person: Person
) -> None:
    with own_redis() as server:
        there = replace(settings, redis_url=Secret(server.url))
        publish_to(there, publish)
        app = start(there)
        server.client.replicaof("127.0.0.1", 1)
        for _ in range(5):
            ask(app, str(uuid.uuid4()))
            assert ask(app, person(Role.DEVELOPER, 4))["degraded"] is False
        assert not any(b.down for b in app.extensions["matchbook"].cache.breakers.values())


def publish_to(there: Settings, publish: Publish) -> None:
    publish_release(there, publish(), force=True)


def test_a_row_that_cannot_be_read_is_one_owners_trouble(
    settings: Settings, start: Start, rows: str, publish: Publish, execute: Execute
) -> None:
    publish()
    bad, good = str(uuid.uuid4()), str(uuid.uuid4())
    for owner in (bad, good):
        execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'games')", owner)
    execute("INSERT INTO user_interactions VALUES (%s, gen_random_uuid(), 'view', '-infinity')", bad)
    app = start()
    for _ in range(3):
        assert ask(app, bad)["startups"]
    body = ask(app, good)
    assert (body["source"], body["degraded"]) == ("live", False)


def test_a_slow_search_does_not_block_lists(
    settings: Settings, start: Start, rows: str, publish: Publish, execute: Execute
) -> None:
    publish()
    app, newcomer = start(settings.layered({"database_timeout_s": 0.5}, "given")), str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'games')", newcomer)
    execute("ALTER TABLE users RENAME TO people")
    execute(
        "CREATE OR REPLACE VIEW matchbook_users AS SELECT id AS user_id, role, created_at, updated_at, "
        "CASE WHEN pg_sleep(0.2) IS NULL THEN name ELSE name END AS name, headline, skills, interests, location, "
        "opted_out_at FROM people"
    )
    assert app.test_client().get(f"/api/find/{SURFACE}/owners?q=ada").status_code == 503
    body = ask(app, newcomer)
    assert (body["source"], body["degraded"]) == ("live", False)


def test_a_refusal_begins_no_pause_and_silence_does() -> None:
    breaker = Breaker("It", is_silent=lambda error: isinstance(error, OSError))
    for error, down in ((ValueError("no"), False), (OSError("gone"), True)):
        with pytest.raises(Exception, match=r"refused: no|does not answer: gone"), breaker.guard(ValueError, OSError):
            raise error
        assert breaker.down is down


def test_a_failover_behind_one_name_is_followed(
    settings: Settings, start: Start, rows: str, publish: Publish, person: Person
) -> None:
    """Open connections lead to the demoted server, new ones to the primary."""
    with own_redis() as old, own_redis() as new:
        proxy = Proxy("127.0.0.1", old.port)
        there = settings.layered(
            {"redis_url": Secret(f"redis://127.0.0.1:{proxy.port}/0"), "redis_timeout_s": 2.0}, "given"
        )
        publish_to(there, publish)
        new.client.replicaof("127.0.0.1", old.port)
        until(lambda: new.client.info("replication")["master_link_status"] == "up")
        until(lambda: new.client.dbsize() == old.client.dbsize())
        app = start(there)
        one = {"events": [event(person(Role.DEVELOPER, 4), str(uuid.uuid4()))]}
        assert app.test_client().post("/api/events", json=one).status_code == 202
        new.client.replicaof("NO", "ONE")
        old.client.replicaof("127.0.0.1", new.port)
        proxy._target = ("127.0.0.1", new.port)
        time.sleep(1.1)  # a new connection is not replaced
        until(lambda: app.test_client().post("/api/events", json=one).status_code == 202)
        assert ask(app, person(Role.DEVELOPER, 4))["degraded"] is False
        proxy.down()
