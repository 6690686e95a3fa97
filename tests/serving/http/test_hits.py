"""The hit path and Flask give the same bytes, headers, log lines and counts. Flask answers all else.

The other tests of the reader also use the hit path first (tests/serving/as_served.py).
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import redis
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from models.keys import Scope, encode_keys, new_key
from models.lists.redis_format import Keys
from models.schema import Role, Surface
from models.settings.settings import Settings
from serving.http.hits import Hits, Reply
from serving.lists import Asked
from tests.marketplace.world import World
from tests.serving.as_served import by_hits
from tests.serving.conftest import Company, Execute, Person, Publish, Start, event, ids, post, within_a_second

MINE, FOUNDERS = Surface.STARTUPS_FOR_DEVELOPER, Surface.DEVELOPERS_FOR_STARTUP
AT = "/api/recommendations"
EXPERIMENT = {
    "name": "ranker",
    "salt": "one",
    "surfaces": [MINE.value],
    "share": 0.5,
    "arms": [
        {"name": "on", "weight": 1, "settings": {}},
        {"name": "off", "weight": 1, "settings": {"ranker": "rules"}},
    ],
}
QUERIES = (
    "",
    "limit=100",
    "limit=3&offset=2",
    "offset=500",
    "category=games",
    "category=games&category=fintech&stage=seed",
    "category=GAMES%20&limit=2",
    "category=%C3%A9t%C3%A9",
    "category=",
    "category=%ff",
    "unknown=1&limit=4",
)


def hits_of(app: Flask) -> Hits:
    return app.extensions["matchbook"].hits


def environ(path: str, query: str = "", method: str = "GET", **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return EnvironBuilder(path, query_string=query, method=method, headers=named).get_environ()


def by_flask(app: Flask, asked: dict[str, Any]) -> Reply:
    data, status, headers = run_wsgi_app(app.wsgi_app.flask, asked)  # type: ignore[attr-defined]
    return int(status[:3]), list(headers), b"".join(data)


def same(app: Flask, path: str, query: str = "", **headers: str) -> Reply:
    """Return the reply of both ways, which must be equal. Raises AssertionError if the hit path gives none."""
    direct = by_hits(hits_of(app), environ(path, query, **headers))
    assert isinstance(direct, tuple), f"{path}?{query} is not answered as a plain hit"
    assert direct == by_flask(app, environ(path, query, **headers))
    return direct


def owners_of(planted: World, surface: Surface) -> list[str]:
    table = planted.users if surface.owner.value == "user" else planted.startups
    return table.ids.ids[table.owners_of(surface)].tolist()


def test_both_ways_give_the_same_bytes_and_headers(
    start: Start, publish: Publish, planted: World, rows: str, person: Person, company: Company
) -> None:
    publish(experiments=[EXPERIMENT])
    app = start()
    opted_out = {*planted.users.ids.ids[planted.users.opted_out].tolist()}
    for surface in Surface:
        for n, owner in enumerate(o for o in owners_of(planted, surface) if o not in opted_out):
            same(app, f"{AT}/{surface}/{owner}", QUERIES[n % len(QUERIES)])
    path = f"{AT}/{MINE}/{person(Role.DEVELOPER, 4)}"
    for query in QUERIES:
        status, headers, _ = same(app, path, query)
        assert status == 200
        tag = dict(headers)["ETag"]
        for held in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            assert same(app, path, query, If_None_Match=held)[0] == 304
        assert same(app, path, query, If_None_Match='"other"')[0] == 200
    assert same(app, path.upper().replace(AT.upper(), AT).replace(MINE.upper(), MINE))[0] == 200
    same(app, path, f"exclude={company(3)},{company(4)}&limit=100")


def test_both_ways_leave_out_the_same(
    start: Start,
    publish: Publish,
    rows: str,
    person: Person,
    company: Company,
    execute: Execute,
) -> None:
    publish()
    app, owner = start(), person(Role.DEVELOPER, 9)
    path = f"{AT}/{MINE}/{owner}"
    shown = ids(app.test_client().get(f"{path}?limit=100").get_json())
    post(app, event(owner, shown[0], "dislike"), event(owner, shown[1], "view"), event(owner, shown[2], "impression"))
    execute("UPDATE startups SET withdrawn_at = now() WHERE id = %s", shown[3])
    app.extensions["matchbook"].releases.look_soon()

    def left_out() -> bool:
        found = ids(app.test_client().get(f"{path}?limit=100").get_json())
        return not {shown[0], shown[1]} & {*found} and shown[2] in found

    within_a_second(left_out)
    for query in ("", "limit=100", "offset=15", "category=games"):
        same(app, path, query)
    app.extensions["matchbook"].releases.trouble = "the pointer cannot be followed"
    assert dict(same(app, path)[1])["Cache-Control"] == "no-store"


def test_both_ways_log_and_count_the_same(
    start: Start, publish: Publish, person: Person, settings: Settings, client: redis.Redis, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, logger="matchbook.access")
    publish()
    app, path = start(settings.layered({"rate_limit": 1000}, "given")), f"{AT}/{MINE}/{person(Role.DEVELOPER, 4)}"
    ways: Sequence[Callable[[], object]] = (
        lambda: by_hits(hits_of(app), environ(path)),
        lambda: by_flask(app, environ(path)),
    )
    found = []
    for way in ways:
        before, counted = numbers(app), requests_counted(client, settings)
        caplog.clear()
        way()
        lines = [re.sub(r"ms=[\d.]+", "", r.getMessage()) for r in caplog.records if r.name == "matchbook.access"]
        after = numbers(app)
        changed = {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)}
        found.append((lines, changed, requests_counted(client, settings) - counted))
    assert found[0] == found[1]
    assert (len(found[0][0]), found[0][2]) == (1, 1)


def numbers(app: Flask) -> dict[str, float]:
    """Return the counters of lists and requests, except those of requests for metrics."""
    text = app.test_client().get("/metrics").text
    found = re.findall(r"^(matchbook_(?:lists|requests|request_seconds_count)\S*?) ([\d.e+]+)$", text, re.M)
    return {name: float(n) for name, n in found if "metrics" not in name and "created" not in name}


def requests_counted(client: redis.Redis, settings: Settings) -> int:
    return sum(
        int(client.get(key) or 0) for key in client.scan_iter(f"{Keys(settings.namespace).rate('open', 0)[:-1]}*")
    )


def test_what_is_no_plain_hit_is_left_to_flask(start: Start, publish: Publish, rows: str, person: Person) -> None:
    publish()
    app, owner = start(), person(Role.DEVELOPER, 4)
    path = f"{AT}/{MINE}/{owner}"
    for asked in (
        environ(path, method="POST"),
        environ(path, method="HEAD"),
        environ(f"{AT}/{MINE}/popular"),
        environ(f"{AT}/{MINE}/trending"),
        environ(f"{AT}/{MINE}/many", method="POST"),
        environ(f"{AT}/{MINE}/{owner}/"),
        environ(f"{AT}/{MINE}//{owner}"),
        environ(f"{AT}/nobody/{owner}"),
        environ(f"{AT}/{MINE}/{owner[:-1]}"),
        environ(path, "limit=0"),
        environ(path, "exclude=x"),
        environ(path, "&".join(["category=games"] * 60)),
        environ(path, "x=" + "y" * 9000),
        environ(path) | {"CONTENT_LENGTH": "3"},
        environ(path, Transfer_Encoding="chunked"),
        environ("/health"),
        environ("/"),
    ):
        assert by_hits(hits_of(app), asked) is None, asked["PATH_INFO"]
    assert isinstance(by_hits(hits_of(app), environ(f"{AT}/{MINE}/{uuid.uuid4()}")), Asked), "an unknown owner"
    assert isinstance(by_hits(hits_of(app), environ(f"{AT}/{MINE}/{person(Role.INVESTOR, 4)}")), Asked)
    assert isinstance(by_hits(hits_of(app), environ(f"{AT}/{MINE}/{person(Role.DEVELOPER, 3)}")), Asked), "opted out"


def test_only_a_key_that_may_read_is_served(start: Start, publish: Publish, person: Person, settings: Settings) -> None:
    publish()
    now = datetime.now(UTC)
    made = {s: new_key("backend", [s], now) for s in Scope} | {None: new_key("late", [Scope.READ], now, now)}
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.api_keys_file.write_text(encode_keys(key for key, _ in made.values()))
    settings.api_keys_file.chmod(0o600)
    app, path = start(replace(settings, api_keys="on")), f"{AT}/{MINE}/{person(Role.DEVELOPER, 4)}"
    for scope in (Scope.READ, Scope.ADMIN):
        assert same(app, path, X_API_Key=made[scope][1])[0] == 200
    for key in (made[Scope.EVENTS][1], made[None][1], made[Scope.READ][1][:-1] + "x", "", "mbk_"):
        assert by_hits(hits_of(app), environ(path, X_API_Key=key)) is None
    assert by_hits(hits_of(app), environ(path)) is None
