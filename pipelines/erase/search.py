"""Find every artefact file and Redis key that holds an id: as text, packed, or in an archive.

Only this module scans all keys, because it must be complete rather than fast.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from models.data.mapped import read_array
from models.errors import ReleaseIncomplete
from models.lists.redis_format import Keys, TrendingList
from models.settings.settings import Settings
from pipelines.erased import Person
from pipelines.redis_client import decoded

_STEP, _ID = 1000, 16
#: Prefixes of keys with ids as fields or members and numbers as values.
_IDS = ("release", "since", "hidden")
#: Prefixes of keys with an id in the name and numbers as values.
_NUMBERS = ("live", "flight", "count")


def files_with(folder: Path, person: Person) -> list[Path]:
    """Return every file below a folder that holds the id, and every file or folder named after it."""
    there = sorted(folder.rglob("*")) if folder.is_dir() else [folder] if folder.is_file() else []
    return [
        p
        for p in there
        if person.within(str(p.relative_to(folder.parent)).encode()) or (p.is_file() and _in_file(p, person))
    ]


def keys_with(settings: Settings, client: redis.Redis, person: Person) -> list[tuple[str, str]]:
    """Return (key, place in it) for everything in our namespace that holds the id."""
    return [
        (decoded(key), where)
        for key in client.scan_iter(f"{Keys(settings.namespace).namespace}:*", _STEP)
        for where in _in_key(settings, client, key, person)
    ]


def holds(content: bytes, person: Person) -> bool:
    """Return whether bytes of unknown type hold the id, also in an archive (npz, pth, gz) or a Parquet file.

    Bytes that only look like an archive are searched as plain bytes.
    """
    if person.within(content):
        return True
    for magic, kind in ((b"PK\x03\x04", ".npz"), (b"\x1f\x8b", ".gz"), (b"PAR1", ".parquet")):
        if content.startswith(magic) and len(content) > _ID:
            return _inside(kind, content, person)
    return False


def _in_file(path: Path, person: Person) -> bool:
    content = path.read_bytes()
    return _inside(path.suffix, content, person) if path.suffix in _OPENED else holds(content, person)


def _inside(kind: str, content: bytes, person: Person) -> bool:
    """Return whether a file of a known type holds the id; a broken file is searched as plain bytes."""
    try:
        return _OPENED[kind](content, person)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, pa.ArrowInvalid):
        return person.within(content)


def _in_zip(content: bytes, person: Person) -> bool:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return any(_in_member(name, archive.read(name), person) for name in archive.namelist())


def _in_member(name: str, content: bytes, person: Person) -> bool:
    if name.endswith(".npy"):
        return _inside(".npy", content, person)
    numbers = "/data/" in name  # network weights in a torch file
    return person.within(name.encode()) or (not numbers and person.within(content))


def _in_array(content: bytes, person: Person) -> bool:
    """Search text ids and rows of 16 bytes; skip numbers."""
    array = read_array(io.BytesIO(content))
    if array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] == _ID:
        return bool((array == np.frombuffer(person.packed, np.uint8)).all(axis=1).any())
    return (array.dtype.kind in "USV" or array.dtype == np.uint8) and person.within(array.tobytes())


def _in_parquet(content: bytes, person: Person) -> bool:
    """Search columns of text or bytes, batch by batch."""
    for batch in pq.ParquetFile(pa.BufferReader(content)).iter_batches():
        for column in batch.columns:
            if not pa.types.is_primitive(column.type):
                held = (b for b in column.buffers() if b is not None)
                if any(person.within(buffer.to_pybytes()) for buffer in held):
                    return True
    return False


_OPENED: dict[str, Callable[[bytes, Person], bool]] = {
    ".npz": _in_zip,
    ".pth": _in_zip,
    ".npy": _in_array,
    ".parquet": _in_parquet,
    ".gz": lambda content, person: holds(gzip.decompress(content), person),
}


def _in_key(settings: Settings, client: redis.Redis, key: bytes, person: Person) -> Iterator[str]:
    """Yield where one key holds the id: "name", "value", or the kind of member."""
    if person.within(key):
        yield "name"
    kind = decoded(client.type(key))
    first, _, rest = decoded(key).removeprefix(f"{settings.namespace}:").partition(":")
    if first in _IDS and kind in ("hash", "set"):
        found: Any = client  # bytes are accepted, although redis-py's types say otherwise
        if found.hexists(key, person.packed) if kind == "hash" else found.sismember(key, person.packed):
            yield "field" if kind == "hash" else "member"
        return
    if first in _NUMBERS:
        return
    for where, content in _READERS[kind](client, key) if kind in _READERS else ():
        if _in_value(first, rest, content, person):
            yield where


def _in_value(first: str, rest: str, content: bytes, person: Person) -> bool:
    """Return whether a value holds the id. The key's prefix decides how (models/lists/redis_format.py)."""
    if first == "release" and ":items:" in rest:
        return _inside(".npz", content, person)
    if first == "trending":
        with suppress(ReleaseIncomplete):
            return bool(np.isin(person.id, TrendingList.decode(content).ids))
    return holds(content, person)


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
