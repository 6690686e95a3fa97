"""Run a reader over the planted world: fitted bundles, a published release, rows in PostgreSQL."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psycopg2
import pytest
from flask import Flask
from werkzeug.routing import Rule

from models.catalogue.catalogue import catalogue_bundle
from models.content import ContentConfig
from models.content.fit import fit_content
from models.data.batch import Owners, indptr_of
from models.data.bundle import Bundle
from models.lists.ranked_lists import RankedLists
from models.lists.release import Release
from models.popularity import PopularityConfig
from models.popularity.fit import fit_popularity
from models.recommender.recommend import recommend
from models.recommender.similar import open_similar
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import LIST_KINDS, EventType, ListKind, Role, Similar, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.publish.assemble import store_release
from pipelines.publish.publish import publish_release
from pipelines.store.artifacts import Artifacts
from serving.app import Reader, create_app
from tests.databases import at_once
from tests.marketplace import small
from tests.marketplace.data import fitted
from tests.marketplace.world import AS_OF_US, World, world
from tests.own_redis import OwnRedis, own_redis
from tests.paths import ROOT
from tests.serving.as_served import as_served
from tests.serving.proxy import Proxy, Wires
from tests.waiting import until

# Types of the fixtures below, and an answer of the reader.
Body = dict[str, Any]
Start = Callable[..., Flask]
Publish = Callable[..., str]
Served = Callable[..., int]
Running = dict[int, subprocess.Popen[bytes]]
Scored = dict[ListKind, tuple[RankedLists, RankedLists]]
Person = Callable[[Role, int], str]
Company = Callable[[int], str]
Execute = Callable[..., object]

SMALL: dict[str, Any] = small.SMALL | {
    "als_factors": 8,
    "als_iterations": 5,
    "enable_two_tower": False,
    "depth": 20,
}


_compiled = Rule._compile_builder


def _compiled_when_used(self: Rule, append_unknown: bool = True) -> Callable[..., Any]:
    """Compile the function that builds a rule's address when it is called: most apps of tests never build one."""

    def build(rule: Rule, **values: Any) -> Any:
        return _compiled(rule, append_unknown)(rule, **values)

    return build


Rule._compile_builder = _compiled_when_used  # type: ignore[method-assign]  # a third of the time of `create_app`


def ask(app: Flask, tail: str, query: Any = None, surface: ListKind = Surface.STARTUPS_FOR_DEVELOPER) -> Body:
    """Ask for the list of an owner, "popular" or "trending". query: as for Flask's client."""
    answer = app.test_client().get(f"/api/recommendations/{surface}/{tail}", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


@pytest.fixture(scope="session")
def planted() -> World:
    return world()


@pytest.fixture(scope="session")
def bundles(planted: World) -> dict[str, Bundle]:
    """Fit every model except the two-tower on the planted world."""
    w, settings = planted, Settings().layered(SMALL, "given")
    found = [
        catalogue_bundle(w.users, w.startups, {"as_of_us": AS_OF_US, "as_of": "2020-04-10T00:00:00+00:00"}),
        fit_popularity(w.users, w.startups, w.interactions, AS_OF_US, settings.of(PopularityConfig)),
        fit_content(
            w.user_profiles,
            w.startup_profiles,
            w.interactions,
            w.users.ids,
            w.startups.ids,
            settings.of(ContentConfig),
        ),
        fitted("als", w.interactions, settings),
        fitted("als_reverse", w.interactions, settings),
        fitted("item_neighbours", w.interactions, settings),
        fitted("item_neighbours_reverse", w.interactions, settings),
    ]
    return {b.name: b for b in found}


@pytest.fixture(scope="session")
def scored(planted: World, bundles: dict[str, Bundle]) -> Scored:
    """Return the lists of every owner and the popular list, by kind of list."""
    settings = Settings().layered(SMALL, "given")
    similar = {kind: open_similar(kind, bundles, settings) for kind in Similar}
    return {
        **{s: _scored(open_recommender(s, bundles, settings), planted, settings.lists.depth) for s in Surface},
        **{
            kind: (recipe.lists(recipe.entities.owners_of(kind)), RankedLists.nothing(np.array([-1], np.int32)))
            for kind, recipe in similar.items()
        },
    }


def _scored(recipe: SurfaceRecommender, w: World, depth: int) -> tuple[RankedLists, RankedLists]:
    rows = recipe.owners.owners_of(recipe.surface)
    batch = recipe.batch(rows, w.interactions)
    nobody = Owners(
        np.array([-1], np.int32),
        np.zeros(1, np.int32),
        np.array([True]),
        batch.history[:1] * 0,
        (batch.barred[:1] * 0).astype(bool),
        ("",),
    )
    return recommend(recipe, batch, depth), recommend(recipe, nobody, depth)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Return test settings with small models and long time-outs: a slow machine must not change an answer."""
    long = {"redis_timeout_s": 2.0, "database_timeout_s": 5.0, "live_budget_s": 20.0}
    return settings.layered({**SMALL, **long}, "given")


@pytest.fixture
def publish(settings: Settings, bundles: dict[str, Bundle], scored: Scored) -> Publish:
    """Publish a release of the planted world: `publish(day=10, backwards=False)` returns its id.

    experiments: recorded in its manifest; no stored list belongs to an arm. kinds: of its lists. more: further bundles.
    """

    def make(
        day: int = 10,
        backwards: bool = False,
        generated: datetime | None = None,
        experiments: Sequence[Mapping[str, Any]] = (),
        kinds: Sequence[ListKind] = LIST_KINDS,
        more: Mapping[str, Bundle] = MappingProxyType({}),
    ) -> str:
        artifacts = Artifacts(settings)
        slug = f"202004{day:02d}T000000Z"
        versions = {name: artifacts.store_bundle(b, "20200410T000000Z") for name, b in {**bundles, **more}.items()}
        lists = {s: [_backwards(own) if backwards else own] for s, (own, _) in scored.items() if s in kinds}
        draft = Release(
            id="",
            as_of=f"2020-04-{day:02d}T00:00:00+00:00",
            digest="",
            snapshot="",
            bundles=versions,
            generated_at=(generated or datetime.now(UTC)).isoformat(timespec="seconds"),
            lists={},
            shards=[],
            settings=settings.recorded(),
            experiments=list(experiments),
        )
        name = store_release(artifacts, draft, slug, lists, {s: popular for s, (_, popular) in scored.items()}).id
        publish_release(settings, name, force=True)
        return name

    return make


def _backwards(lists: RankedLists) -> RankedLists:
    """Reverse the items of each list. The scores stay in place."""
    place = np.concatenate(
        [np.arange(b - 1, a - 1, -1) for a, b in zip(lists.indptr[:-1], lists.indptr[1:], strict=True)]
    )
    return replace(lists, item=lists.item[place], indptr=indptr_of(np.diff(lists.indptr)))


@pytest.fixture(scope="session")
def copied(planted: World) -> dict[str, str]:
    """Return the rows of the planted world as COPY reads them, by table and columns."""
    w = planted
    people = [
        (
            i,
            Role.DEVELOPER if r == 0 else Role.INVESTOR,
            w.user_profiles["headline"][n],
            w.user_profiles["skills"][n],
            w.user_profiles["interests"][n],
            w.user_profiles["location"][n],
            "2020-01-01" if w.users.opted_out[n] else "",
        )
        for n, (i, r) in enumerate(zip(w.users.ids.ids, w.users.role, strict=True))
    ]
    columns = ("description", "category", "field", "type", "tags", "stage", "location")
    companies = [
        (i, *(w.startup_profiles[c][n] for c in columns), w.users.ids.ids[f] if f >= 0 else "")
        for n, (i, f) in enumerate(zip(w.startups.ids.ids, w.startups.founder, strict=True))
    ]
    x, kinds = w.interactions, EventType.by_code()
    events = [
        (w.users.ids.ids[o], w.startups.ids.ids[i], kinds[k], datetime.fromtimestamp(at / 1e6, UTC).isoformat())
        for o, i, k, at in zip(x.owner, x.item, x.kind, x.at, strict=True)
    ]
    return {
        "users (id, role, headline, skills, interests, location, opted_out_at)": _text(people),
        f"startups (id, {', '.join(columns)}, founder_id)": _text(companies),
        "user_interactions (user_id, startup_id, interaction_type, created_at)": _text(events),
    }


@pytest.fixture
def rows(settings: Settings, copied: dict[str, str]) -> str:
    """Insert the planted world into the sample platform. Return the URL of the database."""
    url = settings.database_url.reveal()
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for table, text in copied.items():
            cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(text))
    connection.close()
    return url


def _text(rows: Sequence[Sequence[object]]) -> str:
    return "\n".join("\t".join(str(cell) or "\\N" for cell in row) for row in rows)


@pytest.fixture
def execute(settings: Settings) -> Execute:
    return partial(at_once, settings)


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    """Start readers: `start()` or `start(other settings)`. All are closed at the end of the test.

    As in production, the hit path answers first and Flask the rest.
    """
    apps: list[Flask] = []

    def begin(given: Settings | None = None) -> Flask:
        app = create_app(given or settings)
        apps.append(app)
        reader: Reader = app.extensions["matchbook"]
        app.wsgi_app = as_served(app.wsgi_app, reader.hits)  # type: ignore[method-assign, assignment]
        if reader.releases.current is not None:
            reader.live.recipes(reader.releases.held, patience_s=30)
        return app

    yield begin
    for app in apps:
        app.extensions["matchbook"].close()


@pytest.fixture
def running() -> Running:
    """Return the readers that `served` started, by port."""
    return {}


@pytest.fixture
def served(settings: Settings, running: Running) -> Iterator[Served]:
    """Run a reader process: `served(VARIABLE=value)` returns its port. It must stop without errors."""

    def begin(**variables: str) -> int:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        env = {
            "PATH": "/usr/bin:/bin",
            "MATCHBOOK_HOME": str(settings.home),
            "MATCHBOOK_NAMESPACE": settings.namespace,
            "DATABASE_URL": settings.database_url.reveal(),
            "REDIS_URL": settings.redis_url.reveal(),
            "MATCHBOOK_READER_PORT": str(port),
            "MATCHBOOK_READER_WORKERS": "2",
        }
        command = [sys.executable, "-m", "serving.processes"]
        settings.home.mkdir(parents=True, exist_ok=True)
        log = _log(settings, port)
        with log.open("w") as sink:
            running[port] = subprocess.Popen(command, cwd=ROOT, env=env | variables, stdout=sink, stderr=sink)
        _until_ready(port, running[port], log)
        return port

    yield begin
    for port, process in running.items():
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) in (0, -signal.SIGKILL)
        assert "Traceback" not in _log(settings, port).read_text()


def _log(settings: Settings, port: int) -> Path:
    return settings.home / f"reader-{port}.log"


def _until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)


@pytest.fixture
def person(planted: World) -> Person:
    """Return a planted user's id by role and part, in group 0.

    Part 0 has one event, 1 none, 3 opted out, 4 is warm, 9 is hot.
    """
    return lambda role, part: str(
        planted.users.ids.ids[next(r for r in planted.rows(role, part) if planted.user_group[r] == 0)]
    )


@pytest.fixture
def company(planted: World) -> Company:
    """Return the id of the startup of a part in group 0. 1 is withdrawn, 2 has no events."""
    return lambda part: str(
        planted.startups.ids.ids[np.flatnonzero((planted.startup_part == part) & (planted.startup_group == 0))[0]]
    )


@pytest.fixture
def wires(settings: Settings) -> Iterator[Wires]:
    proxies = {}
    for name in ("redis_url", "database_url"):
        parts = urlsplit(getattr(settings, name).reveal())
        proxy = proxies[name] = Proxy(parts.hostname or "", parts.port or 0)
        place = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"
        changed: dict[str, Any] = {name: Secret(parts._replace(netloc=place).geturl())}
        settings = settings.layered(changed, "given")
    settings = settings.layered({"redis_timeout_s": 0.2, "database_timeout_s": 0.5, "live_budget_s": 1.0}, "given")
    yield Wires(settings, proxies["redis_url"], proxies["database_url"])
    for proxy in proxies.values():
        proxy.frozen = False
        proxy.down()


@pytest.fixture
def server() -> Iterator[OwnRedis]:
    """Start a separate Redis that the test may break."""
    with own_redis() as server:
        yield server


def ask_list(app: Flask, surface: ListKind, tail: str, **query: Any) -> Body:
    """Ask for a list, by default of 100 places."""
    return ask(app, tail, {"limit": 100} | query, surface)


def ids(body: Body) -> list[str]:
    return [i["id"] for i in body.get("startups") or body.get("users") or ()]


def event(user: str, startup: str, kind: str = "click", **more: Any) -> Body:
    return {"event_id": str(uuid.uuid4()), "user_id": user, "startup_id": startup, "type": kind, **more}


def post(app: Flask, *events: Body) -> None:
    answer = app.test_client().post("/api/events", json={"events": events})
    assert (answer.status_code, answer.get_json()) == (202, {"accepted": len(events)}), answer.text


def within_a_second(true: Callable[[], bool]) -> None:
    """Wait for two checks of the watcher, one per second: the change must then be visible."""
    until(true, 2.5)
