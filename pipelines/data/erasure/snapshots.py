"""A snapshot without a person: a blank row among the people, none of their events, training files made anew."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.errors import TooSparse
from models.nouns.bundle import sha256_of
from pipelines.artifacts import Artifacts, write_private
from pipelines.data.columns.checks import Census
from pipelines.data.columns.layout import FILES, MANIFEST, RowGroups
from pipelines.data.datasets import FOLDER, write_sets
from pipelines.data.erasure.person import Person
from pipelines.data.snapshot import Snapshot, digest_of

_DISMISSALS = "dismissals.parquet"


def rewrite_snapshots(artifacts: Artifacts, person: Person) -> dict[str, str]:
    """Store a successor of every snapshot that knows the person; returns "snapshots/name" -> its successor."""
    successors = {}
    for path in artifacts.stored("snapshots"):
        snapshot = Snapshot.open(path)
        rejected = pq.read_table(path / "rejected.parquet")
        if _knows(snapshot, rejected, person):
            successors[f"snapshots/{path.name}"] = (
                f"snapshots/{_rewrite_snapshot(artifacts, path, snapshot, rejected, person)}"
            )
    return successors


def _knows(snapshot: Snapshot, rejected: pa.Table, person: Person) -> bool:
    columns = (
        snapshot.users["user_id"],
        snapshot.startups["startup_id"],
        snapshot.startups["founder_id"],
        rejected["user_id"],
        rejected["startup_id"],
    )
    return any(bool(pc.any(pc.equal(c, person.id)).as_py()) for c in columns)


def _rewrite_snapshot(artifacts: Artifacts, path: Path, snapshot: Snapshot, rejected: pa.Table, person: Person) -> str:
    """Place the successor; gives its name. The same snapshot and person give the same bytes."""
    tables = {
        "users.parquet": _without(snapshot.users, "user_id", person),
        "startups.parquet": _without(snapshot.startups, "startup_id", person),
        "interactions.parquet": _others(snapshot, snapshot.events, person),
        "rejected.parquet": rejected.filter(pc.invert(_named(rejected, person))),
        _DISMISSALS: _others(snapshot, snapshot.dismissals, person),
        "readings.parquet": _readings(snapshot, person),
    }
    tables = {file: table for file, table in tables.items() if file in snapshot.manifest["sha256"]}
    staging = artifacts.root / "runs" / f"erasure-{person.mark}"
    manifest = _manifest(staging, tables, snapshot.manifest, person)
    name = f"{path.name.rsplit('-', 1)[0]}-{manifest['digest'][:8]}"

    def fill(aside: Path) -> None:
        for file in tables:
            (staging / file).rename(aside / file)
        write_private(aside / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
        _datasets(path / FOLDER, aside, person)
        written = (path / MANIFEST).stat().st_mtime
        os.utime(aside / MANIFEST, (written, written))  # the newest snapshot of a cutoff stays the newest

    artifacts.place("snapshots", name, fill)
    shutil.rmtree(staging)
    return name


def _manifest(
    staging: Path, tables: Mapping[str, pa.Table], before: Mapping[str, Any], person: Person
) -> dict[str, Any]:
    """Write the tables aside and say what they hold now."""
    staging.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file, table in tables.items():
        with RowGroups(staging / file, FILES[file]) as groups:
            groups.write(table.select(FILES[file].names).cast(FILES[file]))
    events, rejected, census = tables["interactions.parquet"], tables["rejected.parquet"], Census()
    census.add(events["kind"].to_numpy(), events["at"].to_numpy())
    reasons = Counter(rejected["reason"].to_pylist())
    manifest = {
        **before,
        **census.facts(),
        "counts": {
            **before["counts"],
            "interactions": len(events),
            "rejected": len(rejected),
            **({"dismissals": len(tables[_DISMISSALS])} if _DISMISSALS in tables else {}),
        },
        "rejected": dict(reasons),
        "erased": [*before.get("erased", []), person.mark],
        "sha256": {file: sha256_of(staging / file) for file in tables},
    }
    if "readings.parquet" in tables:
        manifest["views"] = {**before["views"], "readings": len(tables["readings.parquet"])}
    return {**manifest, "digest": digest_of(manifest)}


def _without(people: pa.Table, key: str, person: Person) -> pa.Table:
    """The person's row blank, and blank as anybody's founder; row numbers stay."""
    own = pc.equal(people[key], person.id)
    columns = {}
    for name in people.column_names:
        kind = people.schema.field(name).type
        columns[name] = pc.if_else(own, pa.scalar("" if pa.types.is_string(kind) else None, kind), people[name])
    if "founder_id" in columns:
        columns["founder_id"] = pc.if_else(pc.equal(columns["founder_id"], person.id), "", columns["founder_id"])
    return pa.table(columns, schema=people.schema)


def _others(snapshot: Snapshot, table: pa.Table, person: Person) -> pa.Table:
    """The rows of a table of pairs that are not about the person."""
    user, startup = (int(ids.rows_of([person.id])[0]) for ids in (snapshot.user_ids, snapshot.startup_ids))
    mine = (table["user"].to_numpy() == user) | (table["startup"].to_numpy() == startup)
    return table.filter(pa.array(~np.asarray(mine)))


def _readings(snapshot: Snapshot, person: Person) -> pa.Table:
    startup = int(snapshot.startup_ids.rows_of([person.id])[0])
    return snapshot.readings.filter(pc.not_equal(snapshot.readings["startup"], startup))


def _named(rejected: pa.Table, person: Person) -> pa.ChunkedArray:
    """Which rejected rows name the person."""
    return pc.or_(*(pc.fill_null(pc.equal(rejected[c], person.id), False) for c in ("user_id", "startup_id")))


def _datasets(before: Path, snapshot: Path, person: Person) -> None:
    """The training files: matrices and mappings made anew, the ranking sets without the person's lines."""
    if not before.is_dir():
        return
    opened = Snapshot.open(snapshot)
    (snapshot / FOLDER).mkdir(mode=0o700)
    with suppress(TooSparse):  # then a build has none either
        write_sets(opened, snapshot / FOLDER, int(opened.manifest["settings"].get("als_min_interactions", 1)))
    for file in sorted(before.glob("ranker_train*.csv")):
        lines = file.read_text().splitlines(keepends=True)
        write_private(snapshot / FOLDER / file.name, "".join(x for x in lines if person.id not in x))
