"""`python -m benchmarks.serving.reader`: the reader, a bare Flask route on the same server, and Redis alone.

All ways take turns in every round. Medians over the rounds and their ratios are printed, because machines differ. One
process with 16 persistent connections sends requests as fast as they are answered. On two cores it causes a third of
the load.
"""

from __future__ import annotations

import argparse
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import redis

from local.airflow import child_environment
from local.servers import servers
from models import registry
from models.als import ALS
from models.catalogue.catalogue import catalogue_bundle
from models.data.batch import indptr_of
from models.data.bundle import Bundle
from models.data.entities import Entities, IdMap
from models.keys import Scope, encode_keys, new_key
from models.lists.ranked_lists import RankedLists
from models.lists.reasons import packed
from models.lists.redis_format import Keys
from models.lists.release import Release
from models.schema import FACETS, Entity, Method, Surface
from models.settings.settings import Settings
from models.two_tower import TWO_TOWER
from pipelines.publish.assemble import store_release
from pipelines.publish.publish import publish_release
from pipelines.redis_client import decoded
from pipelines.run.run import microseconds
from pipelines.store.artifacts import Artifacts

ROOT = Path(__file__).parents[2]
USERS, STARTUPS, PLACES = 20_000, 5_000, 100
CONNECTIONS = 16
#: Distinct reasons. With the labels of items they say about as many things as crunchbase's lists (19,538).
REASONS = 1_000
#: Python's resource tracker, a child of the reader beside its workers, is smaller.
HELPER_MB = 40
SURFACE = Surface.STARTUPS_FOR_DEVELOPER
#: Rows of the table. A list of 100 places is compared with the bare route that sends as many bytes.
BARE, BARE_LONG, LONG = "bare Flask route, as long as 10 places", "as long as 100 places", "a list of 100 places"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.reader", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="duration of every measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="another checkout, whose reader takes its turns too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="matchbook-bench-") as home:
        Path(home).chmod(0o755)
        with servers(Settings(home=Path(home) / "home")) as settings:
            owners = publish(settings)
            sys.stdout.write(compare(settings, owners, args.seconds, args.rounds, args.beside) + "\n")
    return 0


def compare(settings: Settings, owners: list[str], seconds: float, rounds: int, beside: Path | None = None) -> str:
    ours, constant = "serving.wsgi:app", "benchmarks.serving.bare_route:app"
    key, on = with_key(settings), {"MATCHBOOK_API_KEYS": "on", "MATCHBOOK_CONFIG": limited(settings, 60_000_000)}
    with ExitStack() as running:

        def begin(app: str, root: Path = ROOT, **changed: str) -> tuple[int, int]:
            return running.enter_context(serve(settings, app, root, **on | changed))

        plain, _ = begin(constant)
        reader, master = begin(ours)
        without = {
            "access log": begin(ours, MATCHBOOK_LOG_LEVEL="WARNING")[0],
            "API keys": begin(ours, MATCHBOOK_API_KEYS="off")[0],
            "rate limit": begin(ours, MATCHBOOK_CONFIG=limited(settings, 0))[0],
        }
        paths, fewer = [f"/api/recommendations/{SURFACE}/{o}" for o in owners], "?category=category 3"

        def lists(port: int, query: str = "", **headers: str) -> Callable[[], list[float]]:
            return lambda: load(port, [p + query for p in paths], seconds, **{"X-API-Key": key} | headers)

        def bare(query: str) -> Callable[[], list[float]]:
            """Return the bare route with as many bytes as the answer has."""
            asked = Request(f"http://127.0.0.1:{reader}{paths[0]}{query}", headers={"X-API-Key": key})
            with urlopen(asked) as answer:
                path = f"/{len(answer.read())}"
            return lambda: load(plain, [path], seconds)

        ways: dict[str, Callable[[], list[float]]] = {
            BARE: bare(""),
            BARE_LONG: bare("?limit=100"),
            "a list of 10 places, everything on": lists(reader),
            **{f"without {name}": lists(port) for name, port in without.items()},
            "by Flask, as a request with a body is": lists(reader, **{"Content-Length": "0"}),
            LONG: lists(reader, "?limit=100"),
            "filtered by category": lists(reader, fewer),
            "HGET of redis-py, one connection": lambda: hget(settings, owners, seconds),
        }
        if beside is not None:
            other, _ = begin(ours, beside.absolute())
            ways |= {
                f"{beside.name}: a list of 10 places": lists(other),
                f"{beside.name}: {LONG}": lists(other, "?limit=100"),
                f"{beside.name}: filtered by category": lists(other, fewer),
            }
        found: dict[str, list[list[float]]] = {name: [] for name in ways}
        for way in ways.values():
            way()  # warm up
        for _ in range(rounds):
            for name, way in ways.items():
                found[name].append(way())
        pss, own, resident = max(memory(master))
    sizes = f"{USERS:,} users and {STARTUPS:,} startups"
    return (
        f"{table(found, seconds)}\n\nA worker without models, {sizes}: PSS {pss} MB, of it anonymous {own} MB; "
        f"resident {resident} MB."
    )


def with_key(settings: Settings) -> str:
    stored, text = new_key("benchmark", [Scope.READ], datetime.now(UTC))
    settings.api_keys_file.write_text(encode_keys([stored]))
    settings.api_keys_file.chmod(0o600)
    return text


def limited(settings: Settings, requests: int) -> str:
    """Write a settings file with this rate limit; return its path."""
    path = settings.home / f"limit-{requests}.toml"
    path.write_text(f"[reader]\nrate_limit = {requests}\n")
    return str(path)


def table(found: dict[str, list[list[float]]], seconds: float) -> str:
    lines = ["| | requests/s | of bare | p50 ms | p95 ms | p99 ms |", "|---|---|---|---|---|---|"]
    rate = {name: statistics.median(len(r) / seconds for r in rounds) for name, rounds in found.items()}
    for name, rounds in found.items():
        at = [statistics.median(float(np.percentile(r, q)) for r in rounds) * 1000 for q in (50, 95, 99)]
        lines.append(
            f"| {name} | {rate[name]:,.0f} | {rate[name] / rate[BARE_LONG if name.endswith(LONG) else BARE]:.0%} | "
            + " | ".join(f"{x:.2f}" for x in at)
            + " |"
        )
    return "\n".join(lines)


def load(port: int, paths: list[str], seconds: float, **headers: str) -> list[float]:
    """Return the seconds of every answer within the time. Raises RuntimeError for any status but 200."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "x", **headers}.items())
    asked = [f"GET {p.replace(' ', '%20')} HTTP/1.1\r\n{head}\r\n".encode() for p in paths]
    chooser, took, n = selectors.DefaultSelector(), list[float](), 0
    for _ in range(CONNECTIONS):
        wire = socket.create_connection(("127.0.0.1", port))
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chooser.register(wire, selectors.EVENT_READ, (wire, [time.perf_counter(), b""]))
        wire.sendall(asked[(n := n + 1) % len(asked)])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, _ in chooser.select(1):
            wire, state = key.data
            state[1] += wire.recv(65536)
            if complete(state[1]):
                now = time.perf_counter()
                took.append(now - state[0])
                state[:] = [now, b""]
                wire.sendall(asked[(n := n + 1) % len(asked)])
    for key in list(chooser.get_map().values()):
        key.data[0].close()
    if not took:
        raise RuntimeError(f"nothing was answered within {seconds} s: {paths[0]}")
    return took


def complete(answer: bytes) -> bool:
    head, there, rest = answer.partition(b"\r\n\r\n")
    if not there:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode())
    return len(rest) >= int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


def hget(settings: Settings, owners: list[str], seconds: float) -> list[float]:
    """Return the seconds of every HGET of a stored list."""
    took, fields = list[float](), [uuid.UUID(o).bytes for o in owners]
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        keys = Keys(settings.namespace)
        key = keys.lists(decoded(client.get(keys.current)), SURFACE)
        end = now = time.perf_counter()
        end += seconds
        while now < end:
            before = now
            client.hget(key, fields[len(took) % len(fields)])
            now = time.perf_counter()
            took.append(now - before)
    return took


@contextmanager
def serve(settings: Settings, app: str, root: Path = ROOT, **variables: str) -> Iterator[tuple[int, int]]:
    """Serve an app with the processes of `make up` (two with four threads); yield port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "serving.processes", app]
    own = {"MATCHBOOK_READER_PORT": str(port), "MATCHBOOK_LOG_LEVEL": settings.log_level}
    environment = child_environment(settings) | own | {"PYTHONPATH": str(root)} | variables
    log = settings.home / f"{port}.log"
    with log.open("w") as sink:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=sink, stderr=sink)
    try:
        for _ in range(600):
            try:
                urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(log.read_text()) from None
                time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def memory(master: int) -> list[tuple[int, int, int]]:
    """Return MB of each worker: PSS (a page of n processes counts 1/n in each), its anonymous part, and resident."""
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    texts = [Path(f"/proc/{worker}/smaps_rollup").read_text() for worker in workers]
    found = [dict(re.findall(r"^(\w+): +(\d+) kB", text, re.M)) for text in texts]
    mb = [(int(of["Pss"]) >> 10, int(of["Pss_Anon"]) >> 10, int(of["Rss"]) >> 10) for of in found]
    return [of for of in mb if of[2] > HELPER_MB]


def publish(settings: Settings) -> list[str]:
    """Publish a release of random lists; return ids of developers."""
    release, everybody = random_release(settings, np.random.default_rng(0), "20240501T020000Z", USERS, STARTUPS)
    publish_release(settings, release.id)
    users = everybody[Entity.USER]
    return users.ids.text(users.owners_of(SURFACE)[:2000]).tolist()


def random_release(
    settings: Settings, rng: np.random.Generator, slug: str, users: int, startups: int
) -> tuple[Release, dict[Entity, Entities]]:
    """Store a release of random lists for a cutoff; return it and all entities. Equal arguments give equal lists."""
    artifacts, kinds = Artifacts(settings), {Entity.USER: users, Entity.STARTUP: startups}
    everybody = {e: entities(np.random.default_rng(n), e, n) for e, n in kinds.items()}
    columns = [(e, k) for e in kinds for k in ("popularity", "trending")]
    popularity = {f"{e}_{k}": rng.random(kinds[e], dtype=np.float32) for e, k in columns}
    maps = {e.value: x.ids for e, x in everybody.items()}
    as_of = datetime.strptime(slug, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    bundles = [
        catalogue_bundle(everybody[Entity.USER], everybody[Entity.STARTUP], {"as_of_us": microseconds(as_of)}),
        Bundle("popularity_v1", {}, popularity, maps),
    ]
    draft = Release(
        id="",
        as_of=as_of.isoformat(),
        generated_at=as_of.isoformat(),
        digest="",
        snapshot="",
        bundles={b.name: artifacts.store_bundle(b, slug) for b in bundles},
        lists={},
        shards=[],
        settings=settings.recorded(),
    )
    items = {s: everybody[s.item].items_of(s) for s in Surface}
    lists = {s: [random_lists(rng, everybody[s.owner].owners_of(s), items[s])] for s in Surface}
    popular = {s: random_lists(rng, np.array([-1]), items[s]) for s in Surface}
    return store_release(artifacts, draft, slug, lists, popular), everybody


def entities(rng: np.random.Generator, entity: Entity, n: int) -> Entities:
    ids = IdMap.from_ids(str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(n))
    role = rng.integers(0, 2, n).astype(np.int8) if entity is Entity.USER else np.full(n, -1, np.int8)
    zeros = np.zeros(n, np.int64)
    codes = {f: rng.integers(0, 20, n).astype(np.int32) for f in FACETS}
    labels = {f: tuple(f"{f} {i}" for i in range(20)) for f in FACETS}
    return Entities(
        entity,
        ids,
        role,
        np.ones(n, bool),
        np.zeros(n, bool),
        np.full(n, -1, np.int32),
        zeros + 1_700_000_000_000_000,
        zeros,
        zeros,
        zeros.astype(np.int32),
        codes,
        labels,
    )


def random_lists(rng: np.random.Generator, owners: np.ndarray, items: np.ndarray) -> RankedLists:
    b, n = len(owners), len(owners) * PLACES
    item = (rng.integers(0, len(items), b)[:, None] + np.arange(PLACES) * 7) % len(items)
    ensemble = np.full(b, Method.ENSEMBLE.code, np.uint8)
    return RankedLists(
        owners.astype(np.int32),
        ensemble,
        ensemble,
        np.full(b, 25, np.int32),
        np.full(b, registry.ranker_code("learned"), np.uint8),
        indptr_of(np.full(b, PLACES)),
        items[item.ravel()].astype(np.int32),
        np.tile(np.linspace(1, 0, PLACES, dtype=np.float32), b),
        np.full(n, ALS.bit | TWO_TOWER.bit, np.uint8),
        _reasons(rng, REASONS)[(rng.random(n) ** 2 * REASONS).astype(int)],
    )


def _reasons(rng: np.random.Generator, n: int) -> np.ndarray:
    return packed(
        rng.integers(0, 3, n),
        rng.integers(0, 3, n),
        rng.integers(1, 20, n),
        rng.integers(0, 3, n),
        rng.integers(3, 40, n),
        np.full(n, ALS.code),
        rng.integers(0, 4, n),
    )


if __name__ == "__main__":
    raise SystemExit(main())
