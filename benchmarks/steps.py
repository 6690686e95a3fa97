"""The timed steps, each in its own process: `python -m benchmarks.steps HOME STEP [ARGUMENT…]`.

The last line on stdout is JSON: the step's seconds, user CPU seconds of all its threads, peak_mb, and its own facts.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.servers import running_settings
from models.errors import MatchbookError
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.run.run import Run

RUN = "benchmark"


def settings_of(home: Path) -> Settings:
    """Return the defaults in the benchmark's own home; a user's database is never used."""
    return replace(Settings.from_env(), home=home, database_url=Secret(""), redis_url=Secret(""))


def generate(settings: Settings, users: str, startups: str) -> dict[str, Any]:
    from pipelines.sample.sample import write_sample

    write_sample(settings.home / "sample", users=int(users), startups=int(startups), seed=settings.train.seed)
    files = sorted((settings.home / "sample").glob("*.csv*"))
    return {"mb": round(sum(f.stat().st_size for f in files) / 1e6, 1)}


def load(settings: Settings) -> dict[str, Any]:
    from pipelines.ingest.ingest import import_folder

    return dict(import_folder(settings, settings.home / "sample").counts)


def copy(settings: Settings) -> dict[str, Any]:
    """Read and discard the three views by plain COPY: the fastest that the server can deliver."""
    from pipelines.postgres import copy_statement, engine, transaction

    class Count:
        mb = 0.0

        def write(self, piece: bytes) -> int:
            self.mb += len(piece) / 1e6
            return len(piece)

    sink: Any = Count()
    with transaction(engine(settings)) as connection:
        start = time.perf_counter()
        rows = sum(
            copy_statement(connection, f"SELECT * FROM matchbook_{view}", {}, sink)
            for view in ("users", "startups", "interactions")
        )
    return {"rows": rows, "mb": round(sink.mb, 1), "own_seconds": time.perf_counter() - start}


def export(settings: Settings, ranker: str = "auto") -> dict[str, Any]:
    """Export the snapshot and start the run that later steps continue, with the same settings."""
    from pipelines.export.export import export_snapshot
    from pipelines.run_build import default_cutoff

    run = Run.start(settings.layered({"ranker": ranker}, "given"), RUN, default_cutoff(settings))
    start = time.perf_counter()
    snapshot = export_snapshot(run)
    return {"snapshot": snapshot, "own_seconds": time.perf_counter() - start}


def datasets(settings: Settings, snapshot: str) -> dict[str, Any]:
    """Write the training files (D03-D10)."""
    from pipelines.export.training_files import write_datasets

    run = Run.open(settings, RUN)
    write_datasets(run, run.reference(snapshot=snapshot))
    return {}


def train(settings: Settings, name: str, snapshot: str) -> dict[str, Any]:
    from pipelines.train.train import train as fit_and_store

    run = Run.open(settings, RUN)
    return fit_and_store(run, run.reference(snapshot=snapshot), name).as_json()


def rankers(settings: Settings, snapshot: str) -> dict[str, Any]:
    """Make the hold-out, the ranking set, the learned blend and the ranker."""
    from pipelines.train_ranker.second_stage import train_ranker

    run = Run.open(settings, RUN)
    return {"bundles": {b.name: b.version for b in train_ranker(run, run.reference(snapshot=snapshot))}}


def score(settings: Settings, snapshot: str, bundles: str) -> dict[str, Any]:
    from pipelines.score.shards import plan_shards, score_shard

    run, versions = Run.open(settings, RUN), json.loads(bundles)
    shards = plan_shards(run, run.reference(snapshot=snapshot, bundles=versions))
    start = time.perf_counter()
    done = [score_shard(run, shard) for shard in shards]
    return {
        "shards": [d.as_json() for d in done],
        "owners": sum(d.owners for d in done),
        "own_seconds": time.perf_counter() - start,
    }


def assemble(settings: Settings, snapshot: str, bundles: str, shards: str) -> dict[str, Any]:
    from pipelines.publish.assemble import assemble_release
    from pipelines.refs import ScoredShard

    run = Run.open(settings, RUN)
    done = [ScoredShard.from_json(s) for s in json.loads(shards)]
    build = run.reference(snapshot=snapshot, bundles=json.loads(bundles))
    return {"release": assemble_release(run, build, done).release}


def publish(settings: Settings, release: str) -> dict[str, Any]:
    """Load the release into Redis and make it live; measure bytes of a list, with keys and item tables."""
    from models.lists.redis_format import Keys
    from models.schema import Surface
    from pipelines.publish.publish import publish_release
    from pipelines.redis_client import connect

    client: Any = connect(settings)
    before = client.info("memory")["used_memory"]
    published = publish_release(settings, release)
    after = client.info("memory")["used_memory"]
    keys = [Keys(settings.namespace).lists(release, s) for s in Surface]
    used, lists = sum(client.memory_usage(k, samples=0) or 0 for k in keys), max(1, published.lists or 0)
    return {
        "lists": lists,
        "encoded": published.bytes_per_list,
        "memory_usage": round(used / lists, 1),
        "used_memory": round((after - before) / lists, 1),
    }


def rates(settings: Settings, snapshot: str, bundles: str) -> dict[str, Any]:
    from benchmarks.rates import compare

    return compare(Run.open(settings, RUN), snapshot, json.loads(bundles))


STEPS: Mapping[str, Callable[..., dict[str, Any]]] = {
    f.__name__: f for f in (generate, load, copy, export, datasets, train, rankers, score, assemble, publish, rates)
}


def peak_mb() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return round(int(found.group(1)) / 1024, 1) if found else float("nan")


def main() -> int:
    home, step, *arguments = sys.argv[1:]
    settings = running_settings(settings_of(Path(home))) or settings_of(Path(home))
    start = time.perf_counter()
    try:
        facts = STEPS[step](settings, *arguments)
    except MatchbookError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    seconds = time.perf_counter() - start
    cpu = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    sys.stdout.write("\n" + json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak_mb(), **facts}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
