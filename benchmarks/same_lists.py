"""`python -m benchmarks.same_lists BASE`: whether this checkout makes the same lists as the commit BASE.

Both build one sample marketplace and answer the same requests, with their own code and servers, one after the other.
Only public interfaces are used: commands, variables, addresses, files of a release. Compared are snapshot rows, bundle
arrays, lists, and cached and live answers. Exit status: 0 equal, 1 different, 2 a build failed. Digests depend on the
processor, so none are stored. `--env` builds this checkout with the instructions of another processor, for example
`HEAD --env OPENBLAS_CORETYPE=Nehalem`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from local.servers import start_servers, stop_servers
from models.schema import Surface
from models.settings.settings import Settings

ROOT = Path(__file__).parent.parent
#: Small enough for two builds in a few minutes, large enough to fit every model, the network and the ranker.
SIZE = ("--users", "1000", "--startups", "200", "--events-per-user", "30")
QUICK = {"MATCHBOOK_RANKER_CUTS": "2", "MATCHBOOK_TWO_TOWER_EPOCHS": "3", "MATCHBOOK_GRAPH_FILTER_MIN_PAIRS": "1"}
#: Runs in the other checkout; prints one JSON line per answer, without volatile fields.
ASK = """
import json, sys
from serving.wsgi import app
client = app.test_client()
VOLATILE = {"answer_id", "request_id", "generated_at", "served_at", "age_s"}
for line in sys.stdin:
    answer = client.get(line.strip())
    body = answer.get_json(silent=True)
    if isinstance(body, dict):
        body = {k: v for k, v in body.items() if k not in VOLATILE}
    print("ANSWER " + json.dumps([line.strip(), answer.status_code, body], sort_keys=True))
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_lists", description=__doc__)
    parser.add_argument("base", help="a commit")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable for both builds")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable for this build")
    args = parser.parse_args()
    given, mine = (dict(pair.split("=", 1) for pair in pairs) for pairs in (args.set, args.env))
    with tempfile.TemporaryDirectory(prefix="matchbook-same-") as folder:
        Path(folder).chmod(0o755)
        try:
            with checkout(args.base, Path(folder) / "base") as base:
                sample = Path(folder) / "sample"
                command(base, {"MATCHBOOK_HOME": folder}, "sample", str(sample), *SIZE)
                builds = ((base, "b", given), (ROOT, "h", given | mine))
                found = [built(where, Path(folder) / name, sample, values) for where, name, values in builds]
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"{error}\n{error.stdout}\n")
            return 2
    return compared(*found)


@contextmanager
def checkout(commit: str, where: Path) -> Iterator[Path]:
    """Yield the files of a commit in a temporary worktree."""
    subprocess.run(["git", "worktree", "add", "-q", "--detach", str(where), commit], cwd=ROOT, check=True)
    try:
        yield where
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(where)], cwd=ROOT, check=False)


def built(code: Path, home: Path, sample: Path, given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Build the sample with a checkout; return digests by kind and name."""
    own = replace(Settings(), home=home)
    settings = start_servers(own)
    try:
        environment = {
            "MATCHBOOK_HOME": str(home),
            "DATABASE_URL": settings.database_url.reveal(),
            "REDIS_URL": settings.redis_url.reveal(),
            **QUICK,
            **given,
        }
        command(code, environment, "import", str(sample))
        result = json.loads(command(code, environment, "build"))
        sys.stderr.write(f"{code.name}: {result['release']} {sum(result['seconds'].values()):.0f} s\n")
        answers = ask(code, environment, sample)
    finally:
        stop_servers(own)
    artifacts = home / "artifacts"
    release = json.loads((artifacts / "releases" / result["release"] / "manifest.json").read_text())
    return {
        "snapshot": dict(rows_of(artifacts / "snapshots" / release["snapshot"])),
        "bundles": {n: arrays_of(artifacts / "bundles" / n / v) for n, v in release["bundles"].items()},
        "lists": {**files_of(artifacts / "releases" / result["release"]), "digest": release["digest"]},
        "answers": answers,
    }


def command(code: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """Run a command of a checkout and return its stdout. Raises CalledProcessError with its stderr."""
    return run(code, environment, [sys.executable, "-m", "pipelines", *arguments])


def run(code: Path, environment: Mapping[str, str], command: list[str], told: str = "") -> str:
    """Run a command in a checkout, without the caller's MATCHBOOK_ variables."""
    outside = {k: v for k, v in os.environ.items() if not k.startswith("MATCHBOOK_")}
    done = subprocess.run(
        command, cwd=code, env={**outside, **environment}, input=told, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stderr[-4000:])
    return done.stdout


def ask(code: Path, environment: Mapping[str, str], sample: Path) -> dict[str, str]:
    """Return answers by address: cached and filtered lists of known owners, and a live list."""
    import pandas as pd

    users = pd.read_csv(next(sample.glob("users.csv*")))
    startups = pd.read_csv(next(sample.glob("startups.csv*")))
    asked = [f"/api/recommendations/{surface}/popular" for surface in Surface]
    for role in ("developer", "investor"):
        people = users[users["role"] == role]["user_id"].head(15)
        asked += [f"/api/recommendations/startups/for-{role}/{user}?limit=20" for user in people]
        asked += [f"/api/recommendations/{role}s/for-startup/{s}?limit=20" for s in startups["startup_id"].head(15)]
    category = startups["category"].iloc[0].split(";")[0]
    people = users[users["role"] == "developer"]["user_id"].head(10)
    asked += [f"/api/recommendations/startups/for-developer/{user}?category={category}" for user in people]
    asked += [f"/api/explain/startups/for-developer/{user}" for user in people]
    printed = run(code, environment, [sys.executable, "-c", ASK], "\n".join(asked))
    lines = [json.loads(line[7:]) for line in printed.splitlines() if line.startswith("ANSWER ")]
    fields = ((path, name, value) for path, status, body in lines for name, value in {"status": status, **body}.items())
    return {f"{path} {name}": json.dumps(value, sort_keys=True) for path, name, value in fields}


def rows_of(snapshot: Path) -> Iterator[tuple[str, str]]:
    """Yield (file and column, digest of its values) of a snapshot."""
    for path in sorted(snapshot.rglob("*.parquet")):
        table = pq.read_table(path)
        for name in table.column_names:
            values = json.dumps(table[name].to_pylist(), default=str)
            yield f"{path.relative_to(snapshot)}:{name}", hashlib.sha256(values.encode()).hexdigest()


def arrays_of(bundle: Path) -> str:
    """Return one digest of a bundle's arrays and their names."""
    digest = hashlib.sha256()
    for path in sorted(bundle.rglob("*.npz")) + sorted(bundle.rglob("*.npy")):
        with path.open("rb") as source:
            loaded: Any = np.load(source, allow_pickle=False)
            arrays = {path.name: loaded} if isinstance(loaded, np.ndarray) else {k: loaded[k] for k in loaded.files}
            for name, values in sorted(arrays.items()):
                digest.update(f"{name} {values.dtype} {values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def files_of(release: Path) -> dict[str, str]:
    """Return a digest of each column of each list, and of its first ten items."""
    found = {}
    for path in sorted(release.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as columns:
            bounds = columns["indptr"]
            for name in set(columns.files) - {"indptr"}:
                whole = columns[name]
                rows = np.arange(len(bounds)) if len(whole) == len(bounds) - 1 else bounds
                for i in range(len(bounds) - 1):
                    values = whole[rows[i] : rows[i + 1]]
                    found[f"{path.relative_to(release)} list {i} {name}"] = _digest(values)
                    if name == "item":
                        found[f"{path.relative_to(release)} list {i} first_ten_items"] = _digest(values[:10])
    return found


def _digest(values: NDArray[Any]) -> str:
    return hashlib.sha256(f"{values.dtype}".encode() + values.tobytes()).hexdigest()


def compared(base: Mapping[str, Mapping[str, str]], here: Mapping[str, Mapping[str, str]]) -> int:
    """Print one line for each kind and its differences; return 1 if there are any."""
    differs = 0
    for kind in base:
        names = sorted({*base[kind], *here[kind]})
        other = [n for n in names if base[kind].get(n) != here[kind].get(n)]
        shown = f": {' '.join(names)}" if kind == "bundles" else ""
        sys.stdout.write(f"{kind:9} {len(names)} compared, {len(other)} differ{shown}\n")
        fields = Counter(name.rpartition(" ")[2] for name in other if " " in name)
        sys.stdout.write("".join(f"  {n} differ in {field}\n" for field, n in fields.items()))
        for name in other[:5]:
            sys.stdout.write(
                f"  {name}\n    base {base[kind].get(name)!s:.300}\n    here {here[kind].get(name)!s:.300}\n"
            )
        differs += len(other)
    return 1 if differs else 0


if __name__ == "__main__":
    raise SystemExit(main())
