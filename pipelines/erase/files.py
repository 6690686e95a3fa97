"""Make snapshots, bundles and releases without a person.

The person's row becomes blank, and row numbers stay. Their events are removed and training files written again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models import registry
from models.catalogue.catalogue import CATALOGUE
from models.catalogue.directory import without_words
from models.data.bundle import Bundle, sha256_of
from models.data.entities import UNKNOWN_TIME, IdMap
from models.errors import TooSparse
from models.lists.release import Release, popular_list, release_lists
from models.schema import FACETS, Entity
from models.spec import function
from pipelines.erased import Person
from pipelines.export.checks import Census
from pipelines.export.layout import FILES, MANIFEST, RowGroups
from pipelines.export.snapshot import Snapshot, digest_of
from pipelines.export.training_files import FOLDER, write_sets
from pipelines.publish.assemble import store_release
from pipelines.store.artifacts import BUNDLES, HOLDOUTS, Artifacts, write_private

_DISMISSALS = "dismissals.parquet"


def rewrite_snapshots(artifacts: Artifacts, person: Person) -> dict[str, str]:
    """Store successors of all snapshots that name the person; return a successor by "snapshots/name"."""
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
    """Store the successor and return its name. The same snapshot and person give the same bytes."""
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
        os.utime(aside / MANIFEST, (written, written))  # so that the newest snapshot of a cutoff stays the newest

    artifacts.place("snapshots", name, fill)
    shutil.rmtree(staging)
    return name


def _manifest(
    staging: Path, tables: Mapping[str, pa.Table], before: Mapping[str, Any], person: Person
) -> dict[str, Any]:
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
    """Blank the person's row, and the person as a founder; row numbers stay."""
    own = pc.equal(people[key], person.id)
    columns = {}
    for name in people.column_names:
        kind = people.schema.field(name).type
        columns[name] = pc.if_else(own, pa.scalar("" if pa.types.is_string(kind) else None, kind), people[name])
    if "founder_id" in columns:
        columns["founder_id"] = pc.if_else(pc.equal(columns["founder_id"], person.id), "", columns["founder_id"])
    return pa.table(columns, schema=people.schema)


def _others(snapshot: Snapshot, table: pa.Table, person: Person) -> pa.Table:
    """Return the rows of a pair table that do not name the person."""
    user, startup = (int(ids.rows_of([person.id])[0]) for ids in (snapshot.user_ids, snapshot.startup_ids))
    mine = (table["user"].to_numpy() == user) | (table["startup"].to_numpy() == startup)
    return table.filter(pa.array(~np.asarray(mine)))


def _readings(snapshot: Snapshot, person: Person) -> pa.Table:
    startup = int(snapshot.startup_ids.rows_of([person.id])[0])
    return snapshot.readings.filter(pc.not_equal(snapshot.readings["startup"], startup))


def _named(rejected: pa.Table, person: Person) -> pa.ChunkedArray:
    return pc.or_(*(pc.fill_null(pc.equal(rejected[c], person.id), False) for c in ("user_id", "startup_id")))


def _datasets(before: Path, snapshot: Path, person: Person) -> None:
    """Write the matrices and mappings again; copy the ranking sets without the person's lines."""
    if not before.is_dir():
        return
    opened = Snapshot.open(snapshot)
    (snapshot / FOLDER).mkdir(mode=0o700)
    with suppress(TooSparse):  # then a build makes none either
        write_sets(opened, snapshot / FOLDER, int(opened.manifest["settings"].get("als_min_interactions", 1)))
    for file in sorted(before.glob("ranker_train*.csv")):
        lines = file.read_text().splitlines(keepends=True)
        write_private(snapshot / FOLDER / file.name, "".join(x for x in lines if person.id not in x))


#: The value for "unknown" in a catalogue column; 0 or False in all others.
_UNKNOWN = {"role": -1, "founder": -1, "created_at": UNKNOWN_TIME, **dict.fromkeys(FACETS, -1)}


def rewrite_bundles(artifacts: Artifacts, person: Person) -> dict[str, str]:
    """Store successors of all bundles that name the person; return a successor by "kind/name/version"."""
    successors = {}
    for kind in (BUNDLES, HOLDOUTS):
        for folder in sorted((artifacts.root / kind).glob("*")):
            for path in artifacts.stored(f"{kind}/{folder.name}"):
                found = without(artifacts.open_bundle(folder.name, path.name, kind), person)
                if found is not None:
                    version = artifacts.store_bundle(found, path.name.rsplit("-", 1)[0], kind)
                    successors[f"{kind}/{folder.name}/{path.name}"] = f"{kind}/{folder.name}/{version}"
    return successors


def without(bundle: Bundle, person: Person) -> Bundle | None:
    """Return the bundle without the person and with their mark in its config; None if it does not name them."""
    rows = {name: int(ids.rows_of([person.id])[0]) for name, ids in bundle.maps.items()}
    rows = {name: row for name, row in rows.items() if row >= 0}
    if not rows:
        return None
    arrays, files, maps = dict(bundle.arrays), dict(bundle.files), dict(bundle.maps)
    for name, row in rows.items():
        arrays |= _blanked(arrays, name, maps[name], row)
        if name != "startup":  # with both sides in one bundle, the row owners are people
            arrays |= _cut(arrays, maps[name], row, square=len(maps) == 1)
        maps[name] = maps[name].without(row)
        if hook := _forgetting(bundle.name):
            files = {file: function(hook)(body, name, row) for file, body in files.items()}
    if "user" in rows and "startup_founder" in arrays:
        founder = arrays["startup_founder"]
        arrays["startup_founder"] = np.where(founder == rows["user"], -1, founder).astype(founder.dtype)
    config = {**bundle.config, "erased": [*bundle.config.get("erased", []), person.mark]}
    if bundle.name == CATALOGUE:
        config["labels"] = _labels(bundle, arrays)
        for name, row in rows.items():  # of the original: there may be as many words as rows
            arrays |= without_words(bundle.arrays, Entity(name), row)
    return replace(bundle, config=config, arrays=arrays, maps=maps, files=files, version="")


def _forgetting(name: str) -> str:
    """Return the model's hook that clears a row in its files; "" for models that no longer exist."""
    return next((spec.forget for spec in registry.MODELS if spec.bundle == name), "")


def _blanked(arrays: Mapping[str, NDArray[Any]], side: str, ids: IdMap, row: int) -> dict[str, NDArray[Any]]:
    """Return the columns of one side (`user_factors`, `startup_role` …) with this row set to unknown."""
    found = {}
    for key, array in arrays.items():
        if key.startswith(f"{side}_") and len(array) == len(ids):
            found[key] = array.copy()
            found[key][row] = _UNKNOWN.get(key.removeprefix(f"{side}_"), 0)
    return found


def _labels(bundle: Bundle, arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, list[str]]]:
    """Return the facets' labels. A label that only the person had becomes blank; codes stay."""

    def left(entity: str, facet: str, words: list[str]) -> list[str]:
        before, after = set(bundle.arrays[f"{entity}_{facet}"].tolist()), set(arrays[f"{entity}_{facet}"].tolist())
        return ["" if code in before - after else word for code, word in enumerate(words)]

    return {e: {f: left(e, f, words) for f, words in facets.items()} for e, facets in bundle.config["labels"].items()}


def _cut(arrays: Mapping[str, NDArray[Any]], ids: IdMap, row: int, square: bool) -> dict[str, NDArray[Any]]:
    """Return every CSR over these ids (`[prefix]indptr`, `indices`, `data`) with this row empty.

    square: columns have the same ids, so this column becomes empty too.
    """
    found: dict[str, NDArray[Any]] = {}
    for key, indptr in arrays.items():
        prefix = key.removesuffix("indptr")
        if prefix != key and len(indptr) == len(ids) + 1:
            indices, data = arrays[f"{prefix}indices"], arrays[f"{prefix}data"]
            of_row = np.repeat(np.arange(len(ids)), np.diff(indptr))
            kept = (of_row != row) & ~(square & (indices == row))
            lengths = np.bincount(of_row[kept], minlength=len(ids))
            found |= {
                key: np.concatenate([[0], np.cumsum(lengths)]).astype(indptr.dtype),
                f"{prefix}indices": indices[kept],
                f"{prefix}data": data[kept],
            }
    return found


def rewrite_releases(artifacts: Artifacts, person: Person, successors: Mapping[str, str]) -> dict[str, str]:
    """Store successors of all releases that use a replaced artefact; return a successor by release.

    successors: of bundles and snapshots, including those of an interrupted erasure.
    """
    found = {}
    for release in artifacts.releases():
        bundles = {name: _newer(successors, f"{BUNDLES}/{name}", v) for name, v in release.bundles.items()}
        judged = {name: _newer(successors, f"{HOLDOUTS}/{name}", v) for name, v in release.judged.items()}
        snapshot = _newer(successors, "snapshots", release.snapshot)
        draft = replace(release, bundles=bundles, judged=judged, snapshot=snapshot)
        if draft != replace(release, bundles=dict(release.bundles), judged=dict(release.judged)):
            draft = replace(draft, parts=[_part(successors, part) for part in release.parts])
            found[release.id] = _rewrite_release(artifacts, release, person, draft)
    return found


def _part(successors: Mapping[str, str], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a release with its bundles replaced by their successors."""
    bundles = {name: _newer(successors, f"{BUNDLES}/{name}", v) for name, v in part.get("bundles", {}).items()}
    return {**part, **({"bundles": bundles} if bundles else {})}


def _newer(successors: Mapping[str, str], kind: str, name: str) -> str:
    return successors.get(f"{kind}/{name}", f"{kind}/{name}").rpartition("/")[2]


def _rewrite_release(artifacts: Artifacts, release: Release, person: Person, draft: Release) -> str:
    maps = artifacts.open_bundle(CATALOGUE, release.bundles[CATALOGUE]).maps
    row = {e: int(maps[e.value].rows_of([person.id])[0]) for e in Entity}
    directory = artifacts.directory(release.id)
    lists = {
        kind: [p.without(row[kind.owner], row[kind.item]) for p in release_lists(directory, release, kind)]
        for kind in release.kinds
    }
    popular = {kind: popular_list(directory, release, kind).without(-1, row[kind.item]) for kind in release.kinds}
    draft = replace(draft, erased=[*release.erased, person.mark], replaces=release.id)
    return store_release(artifacts, draft, release.id.rsplit("-", 1)[0], lists, popular).id
