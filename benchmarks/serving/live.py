"""`python -m benchmarks.serving.live [SIZE]`: lists computed live, one by one and for 500 concurrent requests.

Uses a generated marketplace with every base model trained. The learned ranker is trained on a small one, because its
cost depends only on its trees. Newcomers have another user's profile and 0 to 24 events. Known owners have one event
since the build. The release has no lists, so every request is a cache miss.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import psycopg2
import redis
from threadpoolctl import threadpool_limits

from benchmarks.run import SIZES, Bench
from benchmarks.serving.reader import memory, serve
from benchmarks.steps import settings_of
from local.servers import remove_home, servers
from models import registry
from models.catalogue.catalogue import CATALOGUE, encode_items, entities_of
from models.learned_ranker.scorer import LEARNED
from models.lists.redis_format import POPULAR_FIELD, Keys, encode_lists
from models.lists.release import Release
from models.recommender.recommend import recommend
from models.recommender.surface import open_bundles, open_recommender
from models.schema import Entity, Role, Surface
from models.settings.settings import Settings
from serving.app import Reader, create_app

TAUGHT_ON = "2k"
OWNERS, AT_ONCE = 300, 500
SURFACES = (Surface.STARTUPS_FOR_DEVELOPER, Surface.STARTUPS_FOR_INVESTOR, Surface.DEVELOPERS_FOR_STARTUP)
_TOLD = "SELECT CAST(%s AS uuid), role, headline, skills, interests, location FROM users WHERE id = %s"
_NEWCOMER = f"INSERT INTO users (id, role, headline, skills, interests, location) {_TOLD}"
_EVENTS = """
INSERT INTO user_interactions (user_id, startup_id, interaction_type, created_at)
SELECT CAST(%s AS uuid), startup_id, interaction_type,
       CAST(%s AS timestamptz) + row_number() OVER (ORDER BY created_at) * interval '1 second'
FROM user_interactions WHERE user_id = %s ORDER BY created_at DESC LIMIT %s"""
_LIKE = "INSERT INTO user_interactions VALUES (%s, %s, 'like', CAST(%s AS timestamptz) + interval '1 minute')"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.live", description=__doc__)
    parser.add_argument("size", nargs="?", default="20k", choices=list(SIZES))
    parser.add_argument("--keep", type=Path, help="a folder to prepare or reuse, which is kept")
    args = parser.parse_args()
    root = (args.keep or Path(tempfile.mkdtemp(prefix="matchbook-bench-"))).absolute()
    try:
        for size in (TAUGHT_ON, args.size):
            prepare(root / size, size, with_ranker=size == TAUGHT_ON)
        with servers(settings_of(root / args.size)) as settings:
            settings = settings.layered({"ranker": "learned"}, "given")
            as_of = publish(settings, learned(root / TAUGHT_ON, settings))
            sys.stdout.write(measure(settings, args.size, as_of) + "\n")
    finally:
        if args.keep is None:
            for size in {TAUGHT_ON, args.size}:
                remove_home(settings_of(root / size))
            shutil.rmtree(root, ignore_errors=True)
    return 0


def prepare(home: Path, size: str, with_ranker: bool) -> None:
    """Import data and train every base model, unless done before."""
    if (home / "live.json").exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    bench = Bench(home, ())
    with servers(settings_of(home)):
        bench.step("generate", "generate", *map(str, SIZES[size]))
        bench.step("import", "load")
        snapshot = bench.step("export", "export")["snapshot"]
        found = {n: bench.step(f"train {n}", "train", n, snapshot)["version"] for n in registry.bundles()}
        found |= bench.step("train rankers", "rankers", snapshot)["bundles"] if with_ranker else {}
    (home / "live.json").write_text(json.dumps({name: version for name, version in found.items() if version}))


def learned(taught: Path, settings: Settings) -> dict[str, str]:
    """Return the bundle versions of a home, with the learned ranker copied from another home."""
    versions: dict[str, str] = json.loads((settings.home / "live.json").read_text())
    version = json.loads((taught / "live.json").read_text())[LEARNED]
    place = Path("artifacts") / "bundles" / LEARNED / version
    shutil.copytree(taught / place, settings.home / place, dirs_exist_ok=True)
    return versions | {LEARNED: version}


def publish(settings: Settings, versions: dict[str, str]) -> str:
    """Publish a release of popular lists only; return its cutoff."""
    bundles = open_bundles(settings.artifacts, versions, settings)
    entities, as_of = entities_of(bundles[CATALOGUE]), str(bundles[CATALOGUE].config["as_of"])
    release = Release(
        id=f"live-{uuid.uuid4().hex[:8]}",
        as_of=as_of,
        generated_at=as_of,
        digest="",
        snapshot="",
        bundles=versions,
        lists=dict.fromkeys(Surface, 0),
        shards=[],
        settings=settings.recorded(),
    )
    keys = Keys(settings.namespace)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        for entity, rows in entities.items():
            client.set(keys.items(release.id, entity), encode_items(rows))
        for surface in Surface:
            recipe = open_recommender(surface, bundles, settings.layered({"ranker": "rules"}, "given"))
            popular = encode_lists(recommend(recipe, recipe.unseen_owners([""]), settings.lists.depth))[0]
            client.hset(keys.lists(release.id, surface), POPULAR_FIELD, popular)
        client.set(keys.manifest(release.id), release.to_json())
        client.set(keys.current, release.id)
    return as_of


def measure(settings: Settings, size: str, as_of: str) -> str:
    rng, url = np.random.default_rng(0), settings.database_url.reveal()
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        groups = {
            (surface, who): some(cursor, rng, as_of, surface, who)
            for surface in SURFACES
            for who in ("newcomers", "known, one event since")
        }
        one = newcomer(cursor, rng, as_of, SURFACES[0], 6)
        fresh = {surface: some(cursor, rng, as_of, surface, "newcomers") for surface in Surface}
    patient = create_app(settings.layered({"live_budget_s": 30.0, "database_timeout_s": 30.0}, "given"))
    reader: Reader = patient.extensions["matchbook"]
    reader.live.recipes(reader.releases.held, patience_s=600)
    lines = [
        "| owners | surface | p50 ms | p95 ms | p99 ms | most ms | CPU p50 ms | CPU p95 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with threadpool_limits(1, "blas"):  # as in the reader, where models/__init__.py is imported before NumPy
        for (surface, who), owners in groups.items():
            took, cpu = 1000 * np.array([seconds(reader, surface, o) for o in owners]).T
            cells = [f"{x:.0f}" for x in (*np.percentile(took, (50, 95, 99)), max(took), *np.percentile(cpu, (50, 95)))]
            lines.append(f"| {OWNERS} {who} | {surface} | {' | '.join(cells)} |")
    reader.close()
    users, startups = SIZES[size]
    return "\n".join([f"{users:,} users, {startups:,} startups", "", *lines, "", two_processes(settings, one, fresh)])


def some(cursor: Any, rng: np.random.Generator, as_of: str, surface: Surface, who: str) -> list[str]:
    """Return the owners of a group; each has data that no model was trained on."""
    if who == "newcomers" and surface.owner is Entity.USER:
        return [newcomer(cursor, rng, as_of, surface, n % 25) for n in range(OWNERS)]
    people, startups = ids(cursor, "users", surface.role), ids(cursor, "startups")
    owners = rng.choice(people if surface.owner is Entity.USER else startups, OWNERS, replace=False).tolist()
    if who == "newcomers":
        return [new_startup(cursor, o) for o in owners]
    for owner, other in zip(
        owners, rng.choice(startups if surface.owner is Entity.USER else people, OWNERS), strict=True
    ):
        pair = (owner, str(other)) if surface.owner is Entity.USER else (str(other), owner)
        cursor.execute(_LIKE, (*pair, as_of))
    return owners


def newcomer(cursor: Any, rng: np.random.Generator, as_of: str, surface: Surface, events: int) -> str:
    """Insert a user with another user's profile and newest events; return the id."""
    like, owner = str(rng.choice(ids(cursor, "users", surface.role))), str(uuid.uuid4())
    cursor.execute(_NEWCOMER, (owner, like))
    cursor.execute(_EVENTS, (owner, as_of, like, events))
    return owner


def new_startup(cursor: Any, like: str) -> str:
    """Insert a startup with another startup's profile and no events; return the id."""
    told, owner = "category, field, type, tags, stage, location, description", str(uuid.uuid4())
    cursor.execute(
        f"INSERT INTO startups (id, {told}) SELECT CAST(%s AS uuid), {told} FROM startups WHERE id = %s", (owner, like)
    )
    return owner


@cache
def ids(cursor: Any, table: str, role: Role | None = None) -> np.ndarray:
    cursor.execute(f"SELECT id FROM {table}" + (" WHERE role = %s" if role else ""), (role,) if role else ())
    return np.array(sorted(row[0] for row in cursor.fetchall()))


def seconds(reader: Reader, surface: Surface, owner: str) -> tuple[float, float]:
    """Return the wall and CPU seconds of one list."""
    started, busy = time.perf_counter(), time.process_time()
    found, trouble = reader.live.answers(reader.releases.held, surface, [owner])
    if owner not in found or found[owner].listing is None:
        raise RuntimeError(f"no live list of {owner} on {surface}: {trouble}")
    return time.perf_counter() - started, time.process_time() - busy


def two_processes(settings: Settings, one: str, fresh: Mapping[Surface, list[str]]) -> str:
    """Start the reader, send many concurrent requests for one missing list, then ask for live lists of all surfaces.

    Tells how long it takes to start and to open the models, and the memory of the processes at each stage.
    """
    started = time.perf_counter()
    with serve(settings, "serving.wsgi:app") as (port, master):
        address, log = f"http://127.0.0.1:{port}", settings.home / f"{port}.log"
        ready = seconds_until(started, lambda: status(f"{address}/health/ready") == 200)
        opened = seconds_until(started, lambda: len(re.findall(r"are open after", log.read_text())) == 2)
        stages = {"models open": memory(master)}

        def ask(surface: Surface, owner: str) -> dict[str, Any]:
            with urlopen(f"{address}/api/recommendations/{surface}/{owner}", timeout=60) as answer:
                return dict(json.load(answer))

        now = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            bodies = list(pool.map(lambda _: ask(SURFACES[0], one), range(AT_ONCE)))
        took = time.perf_counter() - now
        with urlopen(f"{address}/metrics", timeout=60) as answer:
            counted = re.findall(r"^matchbook_live_seconds_count\{.*\} ([\d.]+)$", answer.read().decode(), re.M)
        for surface, owners in fresh.items():
            for owner in owners:
                ask(surface, owner)
        stages[f"after {sum(map(len, fresh.values()))} live lists"] = memory(master)
    live = sum(b["source"] == "live" for b in bodies)
    rows = [
        f"| {stage} | {n} | {pss} | {own} | {rss} |"
        for stage, workers in stages.items()
        for n, (pss, own, rss) in enumerate(workers, 1)
    ]
    return "\n".join(
        [
            f"{AT_ONCE} at once, two processes: {sum(map(float, counted)):.0f} computation, {live} live lists, "
            f"{AT_ONCE - live} answered by the next level of the chain; all answered after {took:.1f} s.",
            f"Ready after {ready:.1f} s; models of both processes open after {opened:.1f} s.",
            "",
            "| stage | worker | PSS MB | of it anonymous MB | resident MB |",
            "|---|---|---|---|---|",
            *rows,
        ]
    )


def seconds_until(started: float, done: Callable[[], bool]) -> float:
    while not done():
        time.sleep(0.05)
        if time.perf_counter() - started > 300:
            raise RuntimeError("the reader is not ready after 300 s")
    return time.perf_counter() - started


def status(url: str) -> int:
    try:
        with urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


if __name__ == "__main__":
    raise SystemExit(main())
