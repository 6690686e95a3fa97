"""Every file of the artefact store, and every key in Redis, that holds an id: in text, packed, or inside an archive.

The one place that walks through all keys: to be sure, not to be quick.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import redis

from models.nouns.release import Keys
from models.settings import Settings
from pipelines.data.erasure.person import Person
from pipelines.release.cache import text

_ZIP, _GZIP, _PARQUET = b"PK\x03\x04", b"\x1f\x8b", b"PAR1"
_STEP = 1000


def files_with(folder: Path, person: Person) -> list[Path]:
    """Every file below a folder that holds the id, or has it in its name."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return [p for p in files if person.within(str(p.relative_to(folder)).encode()) or _in_file(p, person)]


def keys_with(settings: Settings, client: redis.Redis, person: Person) -> list[tuple[str, str]]:
    """(key, where in it) of everything in our namespace that holds the id."""
    return [
        (text(key), where)
        for key in client.scan_iter(f"{Keys(settings.namespace).namespace}:*", _STEP)
        for where in _in_key(client, key, person)
    ]


def holds(content: bytes, person: Person) -> bool:
    """Whether bytes hold the id, those packed inside an archive (npz, pth, gz) or a Parquet file included."""
    if person.within(content):
        return True
    if content.startswith(_ZIP):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(holds(archive.read(name), person) for name in archive.namelist())
    if content.startswith(_GZIP):
        return holds(gzip.decompress(content), person)
    if content.startswith(_PARQUET):
        return any(person.within(buffer) for buffer in _columns(pq.ParquetFile(pa.BufferReader(content))))
    return False


def _in_file(path: Path, person: Person) -> bool:
    """A file that claims to be an archive and is none holds what its plain bytes hold."""
    content = path.read_bytes()
    try:
        return holds(content, person)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, pa.ArrowInvalid):
        return person.within(content)


def _columns(file: pq.ParquetFile) -> Iterator[bytes]:
    """The plain bytes of every column, piece by piece."""
    for batch in file.iter_batches():
        for column in batch.columns:
            yield from (buffer.to_pybytes() for buffer in column.buffers() if buffer is not None)


def _in_key(client: redis.Redis, key: bytes, person: Person) -> Iterator[str]:
    """Where in one key the id stands: "name", "value", or the kind of member."""
    if person.within(key):
        yield "name"
    kind = text(client.type(key))
    for where, content in _READERS[kind](client, key) if kind in _READERS else ():
        if holds(content, person):
            yield where


def _hash(client: redis.Redis, key: bytes) -> Iterator[tuple[str, bytes]]:
    for field, value in client.hscan_iter(key, count=_STEP):
        yield "field", field
        yield "value of a field", value


def _stream(client: redis.Redis, key: bytes) -> Iterator[tuple[str, bytes]]:
    entries: Any = client.xrange(key)
    for _, fields in entries:
        for pair in fields.items():
            yield from (("entry", part) for part in pair)


_READERS: dict[str, Any] = {
    "string": lambda client, key: [("value", client.get(key) or b"")],
    "hash": _hash,
    "set": lambda client, key: (("member", m) for m in client.sscan_iter(key, count=_STEP)),
    "zset": lambda client, key: (("member", m) for m, _ in client.zscan_iter(key, count=_STEP)),
    "list": lambda client, key: (("element", m) for m in client.lrange(key, 0, -1)),
    "stream": _stream,
}
