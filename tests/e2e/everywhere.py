"""Search, without code of the product, every file, every key of Redis, every row of every database."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pyarrow.parquet as pq
import redis

from tests.stored import cells, entries

#: Pages and write-ahead logs of the embedded servers: the test searches their answers instead.
SERVERS = ("postgres", "redis", "binaries", "valkey-server")


class Wanted:
    """An id in every encoding: text of any case with or without dashes, 16 bytes, hex, base64 at each alignment."""

    def __init__(self, id: str) -> None:
        packed, text = UUID(id).bytes, id.encode()
        self._exact = {packed, packed[::-1], UUID(id).bytes_le, id.encode("utf-16-le"), id.encode("utf-32-le")}
        for content in (packed, text, text.upper(), text.replace(b"-", b"")):
            for shift in range(3):  # the bytes before it shift the groups of three bytes
                coded = base64.b64encode(b"\0" * shift + content)[(shift * 4 + 2) // 3 : -4]
                self._exact |= {coded, coded.translate(bytes.maketrans(b"+/", b"-_"))}
        self._lowered = {text, text.replace(b"-", b""), text.hex().encode(), b"\\x" + packed.hex().encode()}

    def inside(self, content: bytes) -> bool:
        lowered = content.lower()
        return any(form in content for form in self._exact) or any(form in lowered for form in self._lowered)


def everywhere(wanted: Wanted, home: Path, redis_url: str, databases: list[str]) -> list[str]:
    """Return every place that holds the id: "file …", "redis …", "database table"."""
    return [*_files(wanted, home), *_keys(wanted, redis_url), *(t for url in databases for t in _tables(wanted, url))]


def _files(wanted: Wanted, home: Path) -> Iterator[str]:
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home)
        if name.parts[0] in SERVERS:
            continue
        contents = _layers(path.read_bytes()) if path.is_file() else ()
        if wanted.inside(str(name).encode()) or any(map(wanted.inside, contents)):
            yield f"file {name}"


def _layers(content: bytes) -> Iterator[bytes]:
    """Yield the bytes, and their content after every possible decoding."""
    yield content
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield from _layers(archive.read(name))
    for open_as in (gzip.decompress, zlib.decompress):
        with suppress(Exception):
            yield from _layers(open_as(content))
    with suppress(Exception):
        yield pq.read_table(io.BytesIO(content)).to_pandas().to_csv().encode()


def _keys(wanted: Wanted, url: str) -> Iterator[str]:
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter("*", 1000):
            if any(map(wanted.inside, [key, *(layer for part in _parts(client, key) for layer in _layers(part))])):
                yield f"redis {key!r}"


def _parts(client: redis.Redis, key: bytes) -> list[bytes]:
    kind = client.type(key)
    if kind == b"string":
        found = client.get(key)
        return [found] if isinstance(found, bytes) else []  # it may have expired
    if kind == b"hash":
        return [part for pair in cells(client, key).items() for part in pair]
    if kind == b"stream":
        groups = [part for g in client.xinfo_groups(key) for part in (json.dumps(str(g)).encode(),)]
        return groups + [part for f in entries(client, key) for pair in f.items() for part in pair]
    if kind == b"set":
        return [m for m in client.smembers(key) if isinstance(m, bytes)]
    members: list[Any] = client.zrange(key, 0, -1) if kind == b"zset" else client.lrange(key, 0, -1)
    return members


def _tables(wanted: Wanted, url: str) -> Iterator[str]:
    connection = psycopg2.connect(re.sub(r"\+psycopg2", "", url))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} AS t")
            if any(wanted.inside(row.encode()) for (row,) in cursor):
                yield f"{url.rpartition('/')[2]} {table}"
    connection.close()
