"""Pages of people and startups on a large catalogue: `python -m benchmarks.browse [--people N] [--startups N]`.

Makes a catalogue and two releases of random lists, stores them, and prints the median milliseconds of each question:
what a page costs besides the names of its rows, which PostgreSQL finds by primary key.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from models.catalogue.catalogue import CATALOGUE, catalogue_bundle
from models.catalogue.directory import directory_columns
from models.data.batch import indptr_of
from models.data.bundle import Bundle
from models.data.entities import Entities, IdMap
from models.lists.ranked_lists import RankedLists
from models.lists.reasons import REASON
from models.lists.release import Release
from models.schema import FACETS, Entity, Surface
from models.settings.settings import Settings
from pipelines.publish.assemble import store_release
from pipelines.store.artifacts import Artifacts
from serving.console.browse import Browser, Search
from serving.console.comparison import Comparison
from serving.console.release_files import ReleaseFiles
from serving.console.stored import Known

DEPTH, REPEATS = 20, 9
_SYLLABLES = ("ka", "ro", "mi", "ta", "lu", "ven", "dor", "sha", "ni", "el", "pra", "zo", "qui", "ben")
SEARCHES = {
    "first page by name": Search(),
    "a word of many names": Search(q="ka"),
    "two words": Search(q="karo mi"),
    "a rare word": Search(q="kazomita"),
    "filtered": Search(role="investor", segment="hot"),
    "shown least": Search(order="least", state="listed"),
}


class Nameless:
    """In place of PostgreSQL, which finds names by primary key."""

    def names(self, _entity: Entity, _ids: list[str]) -> dict[str, str]:
        return {}


def entities(entity: Entity, n: int, random: np.random.Generator) -> Entities:
    packed = np.sort(random.integers(0, 256, (n, 16), np.uint8).view("S16").reshape(-1))
    count = random.geometric(0.05, n).astype(np.int32) - 1
    role = random.integers(0, 2, n).astype(np.int8) if entity is Entity.USER else np.full(n, -1, np.int8)
    return Entities(
        entity=entity,
        ids=IdMap.from_packed(packed.view(np.uint8).reshape(-1, 16)),
        role=role,
        listed=random.random(n) < 0.98,
        opted_out=np.zeros(n, bool),
        founder=np.full(n, -1, np.int32),
        created_at=np.zeros(n, np.int64),
        views=count.astype(np.int64),
        interactions=count.astype(np.int64),
        count=count,
        facets={f: random.integers(0, 40, n).astype(np.int32) for f in FACETS},
        labels={f: tuple(f"{f} {i}" for i in range(40)) for f in FACETS},
    )


def names(n: int, random: np.random.Generator) -> list[str]:
    parts = random.integers(0, len(_SYLLABLES), (n, 6)).tolist()
    return [f"{''.join(_SYLLABLES[i] for i in p[:3])} {''.join(_SYLLABLES[i] for i in p[3:])}".title() for p in parts]


def lists_of(owners: np.ndarray[Any, Any], items: np.ndarray[Any, Any], random: np.random.Generator) -> RankedLists:
    """Return lists of different items, the popular ones more often."""
    n, start = len(owners), (random.random(len(owners)) ** 2 * (len(items) - 7 * DEPTH)).astype(np.int64)
    item = items[start[:, None] + np.argsort(random.random((n, 7 * DEPTH)), axis=1)[:, :DEPTH]]
    code, places = np.zeros(n, np.uint8), n * DEPTH
    columns = np.zeros(places, np.float32), np.zeros(places, np.uint8), np.zeros(places, REASON)
    count = np.zeros(n, np.int32)
    return RankedLists(
        owners, code, code, count, code, indptr_of(np.full(n, DEPTH)), item.reshape(-1).astype(np.int32), *columns
    )


def stored(artifacts: Artifacts, bundle: Bundle, known: dict[Entity, Entities], seed: int) -> Release:
    random = np.random.default_rng(seed)
    version = artifacts.store_bundle(bundle, "20260101T000000Z")
    lists = {s: [lists_of(known[s.owner].owners_of(s), known[s.item].items_of(s), random)] for s in Surface}
    draft = Release(
        "", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00", "", "", {CATALOGUE: version}, {}, [], {}
    )
    return store_release(
        artifacts, draft, f"2026010{seed}T000000Z", lists, {s: part[0].take(np.arange(1)) for s, part in lists.items()}
    )


def timed(question: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Return the first time and the median of the others, in milliseconds."""
    taken = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        question()
        taken.append(1000 * (time.perf_counter() - started))
    return taken[0], statistics.median(taken[1:])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.browse", description=__doc__)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--startups", type=int, default=50_000)
    args = parser.parse_args()
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="matchbook-bench-") as home:
        settings = Settings(home=Path(home))
        artifacts, sizes = Artifacts(settings), {Entity.USER: args.people, Entity.STARTUP: args.startups}
        known = {e: entities(e, n, random) for e, n in sizes.items()}
        bundle, columns = catalogue_bundle(known[Entity.USER], known[Entity.STARTUP], {"as_of_us": 0}), dict[str, Any]()
        started = time.perf_counter()
        for e, n in sizes.items():
            columns |= directory_columns(e, names(n, random))
        print(f"words of {sum(sizes.values()):,} names: {time.perf_counter() - started:.1f} s", file=sys.stderr)
        bundle = replace(bundle, arrays={**bundle.arrays, **columns})
        releases = [stored(artifacts, bundle, known, seed) for seed in (1, 2)]
        files = ReleaseFiles(settings)
        browser, person = Browser(files), str(UUID(bytes=known[Entity.USER].ids.packed()[7].tobytes()))
        print("| question | first, ms | then, ms |\n|---|---|---|")
        for label, search in SEARCHES.items():
            for entity in Entity:
                first, then = timed(lambda e=entity, s=search: browser.page(releases[0], settings, e, s))  # type: ignore[misc]
                print(f"| {label}, {entity} | {first:.0f} | {then:.1f} |")
        first, then = timed(lambda: browser.one(releases[0], settings, Entity.USER, person))
        print(f"| one person | {first:.0f} | {then:.1f} |")
        pair = [Known(r.id, "stored", r.as_of, r.generated_at, r, None) for r in releases]
        first, then = timed(lambda: Comparison(files, Nameless()).between(*pair), 3)  # type: ignore[arg-type]
        print(f"| two releases as a whole | {first:.0f} | {then:.1f} |")
        folder = artifacts.directory(releases[0].id)
        size = sum(p.stat().st_size for p in folder.rglob("*.npy")) / 1e6
        whole = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
        print(f"audience and ids: {size:.1f} of {whole:.1f} MB of the release", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
