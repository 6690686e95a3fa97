"""Write the lists of a release as files, with names and reasons, in constant memory: JSON lines, CSV or Parquet.

A target holds one folder a release (docs/guides/lists-as-files.md):

    release=<id>/surface=<surface>/lists.parquet    each owner's list, and the popular list as owner `*`
    release=<id>/_parquet.json                      written last: the release, and the rows of each file
    _live.json                                      the live release; only `export_live` writes it
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models import registry
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.batch import indptr_of
from models.data.entities import Entities, IdMap
from models.errors import ReleaseNotFound, SettingsError
from models.lists.ranked_lists import RankedLists
from models.lists.release import NOTHING_LIVE, Release, popular_list, release_lists
from models.schema import FACET_REASONS, Entity, ListKind, Method, Surface, words_by_code
from models.sentences import sentences
from models.settings.lists_export import LIST_FORMATS
from models.settings.settings import Settings
from pipelines.export.copy_rows import Pieces, as_bytes, copy_tables, packed_ids
from pipelines.postgres import engine, transaction
from pipelines.redis_client import current_release
from pipelines.store.artifacts import Artifacts
from pipelines.store.target import Target

log = logging.getLogger(__name__)
#: Places that are in memory at once, give or take one list.
BLOCK = 100_000
#: The owner of the popular list.
EVERYBODY = "*"
#: Names by kind: (n,) texts, "" without a name.
Names = Mapping[Entity, pa.Array]
_WORDS = pa.list_(pa.string())
#: A column per place of a list. `release` and `surface` are in the path, as warehouses expect of partitions.
COLUMNS = pa.schema(
    [
        pa.field("owner", pa.string(), False),
        pa.field("owner_name", pa.string(), False),
        pa.field("rank", pa.int32(), False),
        pa.field("item", pa.string(), False),
        pa.field("item_name", pa.string(), False),
        pa.field("score", pa.float32(), False),
        pa.field("reasons", _WORDS, False),
        pa.field("sources", _WORDS, False),
        pa.field("method", pa.string(), False),
        pa.field("ranker", pa.string()),
        pa.field("interaction_count", pa.int32(), False),
    ]
)


@dataclass(frozen=True, eq=False)
class Block:
    """Some lists of one kind. lists: cut to the depth. owner, owner_name: (b,). Others: one value per place."""

    lists: RankedLists
    owner: pa.Array
    owner_name: pa.Array
    item: pa.Array
    item_name: pa.Array
    reasons: pa.Array
    sources: pa.Array

    @property
    def methods(self) -> pa.Array:
        return pa.array(words_by_code(Method)).take(pa.array(self.lists.method))

    @property
    def rankers(self) -> pa.Array:
        kinds = [ranker.kind if (ranker := registry.ranker(int(code))) else None for code in self.lists.ranker]
        return pa.array(kinds, pa.string())

    def batch(self) -> pa.RecordBatch:
        """Return one row per place, with `COLUMNS`."""
        length = np.diff(self.lists.indptr)
        of = pa.array(np.repeat(np.arange(len(self.lists)), length))
        rank = np.arange(len(self.lists.item)) - np.repeat(self.lists.indptr[:-1], length) + 1
        return pa.RecordBatch.from_arrays(
            [
                self.owner.take(of),
                self.owner_name.take(of),
                pa.array(rank.astype(np.int32)),
                self.item,
                self.item_name,
                pa.array(self.lists.score),
                self.reasons,
                self.sources,
                self.methods.take(of),
                self.rankers.take(of),
                pa.array(self.lists.count).take(of),
            ],
            schema=COLUMNS,
        )

    def lines(self) -> Iterator[str]:
        """Yield one JSON line per list."""
        scores = np.round(self.lists.score.astype(float), 6).tolist()
        items, names = self.item.to_pylist(), self.item_name.to_pylist()
        reasons, sources = self.reasons.to_pylist(), self.sources.to_pylist()
        owners = zip(self.owner.to_pylist(), self.owner_name.to_pylist(), strict=True)
        made = zip(self.methods.to_pylist(), self.rankers.to_pylist(), strict=True)
        for i, ((owner, name), (method, ranker)) in enumerate(zip(owners, made, strict=True)):
            row = self.lists.row(i)
            line = {
                "owner": owner,
                "items": items[row],
                "scores": scores[row],
                "method": method,
                "ranker": ranker,
                "sources": sources[row],
                "owner_name": name,
                "names": names[row],
                "reasons": reasons[row],
            }
            yield json.dumps(line) + "\n"


class ListedKind:
    """The lists of one kind of a release, as blocks. names: of people and startups, see `names_of`."""

    def __init__(self, kind: ListKind, entities: Mapping[Entity, Entities], names: Names) -> None:
        self._voice, self._owners, self._items = kind.voice, entities[kind.owner], entities[kind.item]
        self._owner_names, self._item_names = names[kind.owner], names[kind.item]
        self._item_ids = pa.array(self._items.ids.ids)
        # rows with equal facts get equal reasons
        facts = np.stack([self._items.facets[f] for f in FACET_REASONS], axis=1)
        self._facts = np.unique(facts, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def of(self, lists: RankedLists, depth: int, owners: Sequence[str] = ()) -> Iterator[Block]:
        """Yield stored lists. depth: most places of a list, 0: all. owners: ids of lists without an owner's row."""
        start = 0
        for part in _pieces(lists):
            cut = _cut(part, depth)
            if owners:
                ids = pa.array(owners[start : start + len(cut)])
                yield self.block(cut, ids, pa.array([""] * len(cut)))
                start += len(cut)
            else:
                ids = pa.array(self._owners.ids.text(cut.owner))
                yield self.block(cut, ids, self._owner_names.take(pa.array(cut.owner)))

    def block(self, lists: RankedLists, owners: pa.Array, names: pa.Array) -> Block:
        item, masks = pa.array(lists.item), lists.source.astype(np.int64)
        sources = _shared(masks, lambda mask, _: [s.name for s in registry.sources() if mask & s.bit])
        ids, called = self._item_ids.take(item), self._item_names.take(item)
        return Block(lists, owners, names, ids, called, self._reasons(lists), sources)

    def _reasons(self, lists: RankedLists) -> pa.Array:
        """Return (nnz,) lists of sentences. Each different one is made once a block."""
        bits = lists.reason.astype(np.int64) | lists.source.astype(np.int64) << 32
        alike = np.unique(bits, return_inverse=True)[1].reshape(-1) * (int(self._facts.max(initial=0)) + 1)
        facets, labels = self._items.facets, self._items.labels

        def made(_: int, i: int) -> list[str]:
            return sentences(
                int(lists.reason[i]), int(lists.source[i]), self._voice, int(lists.item[i]), facets, labels
            )

        return _shared(alike + self._facts[lists.item], made)


def _shared(keys: NDArray[np.int64], made: Callable[[int, int], list[str]]) -> pa.Array:
    """Return (n,) lists of words by key. made: returns those of a key, and of a place with it."""
    known, first, of = np.unique(keys, return_index=True, return_inverse=True)
    words = pa.array([made(int(k), int(i)) for k, i in zip(known, first, strict=True)], _WORDS)
    return words.take(pa.array(of.reshape(-1)))


def _pieces(lists: RankedLists) -> Iterator[RankedLists]:
    """Split lists at about `BLOCK` places."""
    piece = lists.indptr[:-1] // BLOCK
    for start, stop in zip(*_runs(piece), strict=True):
        yield lists.take(np.arange(start, stop))


def _runs(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the start and end of each run of equal values."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]][: len(values)])
    return starts, np.r_[starts[1:], len(values)][: len(starts)]


def _cut(lists: RankedLists, depth: int) -> RankedLists:
    """Return the first places of each list. depth: 0: all."""
    length = np.diff(lists.indptr)
    kept = np.minimum(length, depth) if depth else length
    indptr = indptr_of(kept)
    places = np.arange(int(indptr[-1])) + np.repeat(lists.indptr[:-1] - indptr[:-1], kept)
    columns = {name: getattr(lists, name)[places] for name in ("item", "score", "source", "reason")}
    return replace(lists, indptr=indptr, **columns)


def names_of(settings: Settings, entities: Mapping[Entity, Entities]) -> Names:
    """Read the present names of everybody in a release from the contract views. Erased people have none."""
    with transaction(engine(settings)) as connection:
        found = {}
        for entity, mine in entities.items():
            gathered = _Gathered(mine.ids)
            with Pieces() as aside:
                copy_tables(connection, f"names/{entity}", {}, gathered.take, aside)
            found[entity] = gathered.names()
        return found


class _Gathered:
    """Names by row of `ids`, from tables of id and name."""

    def __init__(self, ids: IdMap) -> None:
        self._ids, self._at, self._names = ids, np.full(len(ids), -1, np.int64), list[pa.Array]()
        self._read = 0

    def take(self, table: pa.Table) -> None:
        rows = self._ids.find(as_bytes(packed_ids(table["id"])))
        known = np.flatnonzero(rows >= 0)
        self._at[rows[known]] = self._read + np.arange(len(known))
        self._names += table["name"].take(pa.array(known)).chunks
        self._read += len(known)

    def names(self) -> pa.Array:
        together = pa.concat_arrays(self._names) if self._names else pa.array([], pa.string())
        return pc.fill_null(together.take(pa.array(self._at, mask=self._at < 0)), "")


def blocks(
    settings: Settings, release: Release, depth: int = 0, only: ListKind | None = None
) -> Iterator[tuple[ListKind, Iterator[Block]]]:
    """Yield each kind of list of a stored release and its blocks, a surface's popular list last.

    Raises ReleaseIncomplete.
    """
    artifacts = Artifacts(settings)
    directory = artifacts.directory(release.id)
    entities = entities_of(artifacts.open_bundle(CATALOGUE, release.bundles[CATALOGUE]))
    names = names_of(settings, entities)

    def listed(kind: ListKind) -> Iterator[Block]:
        there = ListedKind(kind, entities, names)
        for shard in release_lists(directory, release, kind):
            yield from there.of(shard, depth)
        if isinstance(kind, Surface):
            yield from there.of(popular_list(directory, release, kind), depth, [EVERYBODY])

    for kind in (k for k in release.kinds if only in (None, k)):
        yield kind, listed(kind)


Write = Callable[[Block], None]


@contextmanager
def _parquet(file: IO[bytes], about: Mapping[str, str]) -> Iterator[Write]:
    schema = COLUMNS.with_metadata({f"matchbook.{key}": value for key, value in about.items()})
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        yield lambda block: writer.write_batch(block.batch().replace_schema_metadata(schema.metadata))


#: What a spreadsheet would read as a formula if a text began with it.
_FORMULA = r"^([=+\-@\t\r])"
#: Free text: names of people and startups, and reasons, which quote labels of the platform.
_FREE = ("owner_name", "item_name", "reasons")


@contextmanager
def _csv(file: IO[bytes], _: Mapping[str, str]) -> Iterator[Write]:
    schema = pa.schema([f.with_type(pa.string()) if f.type == _WORDS else f for f in COLUMNS])

    def write(block: Block) -> None:
        columns = []
        for field, column in zip(COLUMNS, block.batch().columns, strict=True):
            told = pc.binary_join(column, "; ") if field.type == _WORDS else column
            columns.append(pc.replace_substring_regex(told, _FORMULA, r"'\1") if field.name in _FREE else told)
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))

    with pa_csv.CSVWriter(file, schema) as writer:
        yield write


@contextmanager
def _jsonl(file: IO[bytes], _: Mapping[str, str]) -> Iterator[Write]:
    yield lambda block: file.writelines(line.encode() for line in block.lines())


_WRITERS = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}
assert tuple(_WRITERS) == LIST_FORMATS


def about_release(release: Release, depth: int) -> dict[str, str]:
    """Return what every file says of its release."""
    return {
        "release": release.id,
        "as_of": release.as_of,
        "generated_at": release.generated_at,
        "digest": release.digest,
        "depth": str(depth),
    }


def export_lists(settings: Settings, release: Release, target: Target, form: str, depth: int = 0) -> dict[str, Any]:
    """Write every kind of list of a release to a target; return the content of its marker.

    form: one of LIST_FORMATS. depth: most places of a list, 0: all. Does nothing if the marker has the same.
    Raises ServiceError, FileError, ReleaseIncomplete.
    """
    folder, marker = _folder(release.id), f"{_folder(release.id)}/_{form}.json"
    about = about_release(release, depth)
    written = json.loads(target.read(marker) or b"{}")
    if {k: written.get(k) for k in about} == about:
        log.info("%s has the lists of %s as %s already", target.url, release.id, form)
        return dict(written)
    rows = {}
    for kind, found in blocks(settings, release, depth):
        path = f"surface={kind.folder}/lists.{form}"
        with target.file(f"{folder}/{path}") as file:
            rows[path] = _written(file, form, about | {"surface": kind.value}, found)
    written = about | {"files": rows}
    target.write(marker, json.dumps(written, indent=1).encode())
    log.info("wrote %d rows of %s to %s", sum(rows.values()), release.id, target.url)
    return written


def _written(file: IO[bytes], form: str, about: Mapping[str, str], found: Iterator[Block]) -> int:
    """Write the blocks of one kind of list; return the number of rows: lists in JSON lines, else places."""
    rows = 0
    with _WRITERS[form](file, about) as write:
        for block in found:
            write(block)
            rows += len(block.lists) if form == "jsonl" else len(block.lists.item)
    return rows


def _folder(release: str) -> str:
    return f"release={release}"


def export_live(settings: Settings, release: str | None = None) -> dict[str, Any]:
    """Write a release, by default the live one, to [lists_export] target. Remove exports of releases that are gone.

    A release is gone after retirement and after an erasure, which replaces it. Raises SettingsError without a target.
    """
    wanted = settings.lists_export
    if not wanted.target:
        raise SettingsError("expected a folder or URL in [lists_export] target, it is empty; set it in matchbook.toml")
    live = current_release(settings)
    if release is None and live is None:
        raise ReleaseNotFound(NOTHING_LIVE)
    target, artifacts = Target(wanted.target), Artifacts(settings)
    written = export_lists(settings, artifacts.release(release or live or ""), target, wanted.format, wanted.depth)
    target.write("_live.json", json.dumps({"release": live}).encode())
    stored = {_folder(path.name) for path in artifacts.stored("releases")}
    removed = [f for f in target.folders() if f.startswith(_folder("")) and f not in stored]
    for folder in removed:
        target.remove(folder, f"_{wanted.format}.json")
    return written | {"removed": [folder.removeprefix(_folder("")) for folder in removed]}
