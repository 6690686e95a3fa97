"""A small marketplace of random lists for fault runs: releases, a reader, and clients that check answers."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import text

from benchmarks.serving.reader import random_release, serve
from local.servers import start_servers, stop_servers
from models.lists.ranked_lists import RankedLists
from models.schema import Entity, Surface
from models.settings.settings import Settings
from pipelines.postgres import engine, migrate, transaction
from pipelines.publish.history import promote
from pipelines.store.artifacts import Artifacts

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
USERS, STARTUPS = 2000, 500
PATIENCE_S = 10.0  # a slower answer counts as hung; every time-out of the reader is far shorter
Lists = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Town:
    """A small running marketplace.

    home: settings that start servers. settings: with their addresses. releases: by id, owner -> first ten items.
    """

    home: Settings
    settings: Settings
    port: int
    releases: dict[str, Lists]

    @property
    def owners(self) -> list[str]:
        """Return the owners with a list in every release."""
        return sorted(next(iter(self.releases.values())))


@contextmanager
def town(seed: int, releases: int = 1) -> Iterator[Town]:
    """Store releases of the same people and start a reader."""
    with tempfile.TemporaryDirectory(prefix="matchbook-faults-") as folder:
        Path(folder).chmod(0o755)
        home = Settings(home=Path(folder) / "home")
        settings = start_servers(home)
        try:
            migrate(engine(settings))
            made = [_stored(settings, seed, day) for day in range(1, releases + 1)]
            _move_in(settings, made[0][1])
            promote(settings, made[0][0])
            with serve(settings, "serving.wsgi:app") as (port, _):
                yield Town(home, settings, port, dict(made))
        finally:
            stop_servers(home)


def _move_in(settings: Settings, lists: Lists) -> None:
    """Insert the people and startups of the lists into the platform's tables, for the page and the live fallback."""
    of_ids = "FROM unnest(CAST(:ids AS text[])) AS id"
    startups = sorted({item for items in lists.values() for item in items})
    with transaction(engine(settings)) as connection:
        users = f"INSERT INTO users (id, role, name) SELECT CAST(id AS uuid), 'developer', 'Abel ' || id {of_ids}"
        connection.execute(text(users), {"ids": sorted(lists)})
        connection.execute(
            text(f"INSERT INTO startups (id, name) SELECT CAST(id AS uuid), 'Cable ' || id {of_ids}"), {"ids": startups}
        )


def _stored(settings: Settings, seed: int, day: int) -> tuple[str, Lists]:
    slug = f"202405{day:02d}T020000Z"
    release, everybody = random_release(settings, np.random.default_rng([seed, day]), slug, USERS, STARTUPS)
    users, startups = everybody[Entity.USER].ids.ids, everybody[Entity.STARTUP].ids.ids
    lists = RankedLists.open(Artifacts(settings).root / "releases" / release.id / SURFACE.folder / "0000.npz")
    first = {
        str(users[owner]): tuple(startups[lists.item[a : a + 10]].tolist())
        for owner, a in zip(lists.owner.tolist(), lists.indptr[:-1].tolist(), strict=True)
    }
    return release.id, first


class Client:
    """A persistent connection to a reader, reopened after a failure."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._wire: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes, float]:
        """Return status, body and seconds. Status 0: the connection broke; -1: no answer in PATIENCE_S."""
        start = time.perf_counter()
        try:
            if self._wire is None:
                self._wire = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
                self._wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._wire.sendall(request)
            status, body, keep = _answer(self._wire)
        except TimeoutError:
            status, body, keep = -1, b"", False
        except OSError:
            status, body, keep = 0, b"", False
        if not keep:
            self.close()
        return status, body, time.perf_counter() - start

    def close(self) -> None:
        with suppress(OSError):
            if self._wire is not None:
                self._wire.close()
        self._wire = None


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def list_of(owner: str) -> bytes:
    return get(f"/api/recommendations/{SURFACE}/{owner}")


def _answer(wire: socket.socket) -> tuple[int, bytes, bool]:
    """Return status, body, and whether the connection can be reused. Raises OSError if it broke."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(wire)
    head, _, body = received.partition(b"\r\n\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in head.split(b"\r\n")[1:])}
    length = int(headers.get(b"content-length", b"0"))
    while len(body) < length:
        body += _more(wire)
    return int(head.split(b" ", 2)[1]), body, headers.get(b"connection", b"").lower() != b"close"


def _more(wire: socket.socket) -> bytes:
    received = wire.recv(65536)
    if not received:
        raise ConnectionError("the reader closed the connection")
    return received
