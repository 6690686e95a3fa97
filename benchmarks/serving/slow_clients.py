"""`python -m benchmarks.serving.slow_clients [--clients N]`: normal clients while many others hold connections.

The reader runs as in `make up`, first alone, then with each kind of slow client. Closed connections are reopened.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.serving.reader import SURFACE, load, publish, serve
from local.servers import servers
from models.settings.settings import Settings

STEP_S = 1.0  # interval at which dripping clients send one byte, and clients reconnect
SETTLE_S = 3.0
_POST = b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_GET = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


def _tls_hello() -> bytes:
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="reader").do_handshake()
    return out.read()


#: First bytes by kind. Kinds that drip then send one byte each STEP_S, forever.
KINDS: Mapping[str, bytes] = {
    "one byte": b"G",
    "dripping headers": b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "a body that never ends": _POST + b"Content-Length: 5000\r\n\r\n{",
    "dripping body": _POST + b"Content-Length: 60000\r\n\r\n{",
    "a chunk that never ends": _POST + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n{",
    "never reading": _GET * 3,  # normal work: more of these requests would measure the queue
    "TLS to a plain port": _tls_hello(),
    "idle keep-alive": b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
}


class Crowd:
    """Slow clients in one thread. Each holds a connection and reconnects when it is closed."""

    def __init__(self, port: int, clients: int, kinds: Mapping[str, bytes] = KINDS) -> None:
        self._port, self._sent = port, [list(kinds.items())[n % len(kinds)] for n in range(clients)]
        self._chooser, self._stop = selectors.DefaultSelector(), threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._unread: list[socket.socket] = []
        self._left: list[tuple[str, bytes]] = []
        self.opened = 0

    def __enter__(self) -> Crowd:
        for client in self._sent:
            self._open(*client)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for wire in [*(key.data[0] for key in self._chooser.get_map().values()), *self._unread]:
            wire.close()

    def _open(self, kind: str, sent: bytes) -> None:
        wire = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        self.opened += 1
        if kind == "never reading":
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.setblocking(False)
        with suppress(OSError):
            wire.send(sent)
        if kind == "never reading":
            self._unread.append(wire)
        else:
            self._chooser.register(wire, selectors.EVENT_READ, (wire, kind, sent))

    def _hold(self) -> None:
        due = time.monotonic() + STEP_S
        while not self._stop.is_set():
            for key, _ in self._chooser.select(0.2):
                self._look(key)
            if time.monotonic() >= due:
                due += STEP_S
                self._drip()
                self._come_back()

    def _look(self, key: selectors.SelectorKey) -> None:
        """Read received bytes; drop the connection if the server closed it."""
        wire, kind, sent = key.data
        try:
            closed = not wire.recv(65536)
        except OSError:
            closed = True
        if closed:
            self._chooser.unregister(wire)
            wire.close()
            self._left.append((kind, sent))

    def _come_back(self) -> None:
        left, self._left = self._left, []
        for client in left:
            with suppress(OSError):
                self._open(*client)

    def _drip(self) -> None:
        for key in list(self._chooser.get_map().values()):
            wire, kind, _ = key.data
            if kind.startswith("dripping"):
                with suppress(OSError):
                    wire.send(b"a")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.slow_clients", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4, help="duration of every measurement")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="matchbook-bench-") as home:
        Path(home).chmod(0o755)
        with servers(Settings(home=Path(home) / "home")) as settings:
            paths = [f"/api/recommendations/{SURFACE}/{o}" for o in publish(settings)]
            with serve(settings, "serving.wsgi:app") as (port, _):
                sys.stdout.write(compare(port, paths, args.clients, args.seconds, args.rounds) + "\n")
    return 0


def compare(port: int, paths: list[str], clients: int, seconds: float, rounds: int) -> str:
    """Return a Markdown table: no slow clients, each kind alone, all kinds mixed."""
    load(port, paths, seconds)  # warm up
    crowds: dict[str, Mapping[str, bytes]] = {k: {k: v} for k, v in KINDS.items()} | {"all of them, mixed": KINDS}
    lines = ["| clients that hold a connection | requests/s | p50 ms | p99 ms | most ms |", "|---|---|---|---|---|"]
    lines.append(f"| none | {told([load(port, paths, seconds) for _ in range(rounds)], seconds)} |")
    for name, kinds in crowds.items():
        with Crowd(port, clients, kinds):
            time.sleep(SETTLE_S)  # by then their requests are answered
            took = [load(port, paths, seconds) for _ in range(rounds)]
        lines.append(f"| {clients:,} {name} | {told(took, seconds)} |")
    lines.append(f"| none, afterwards | {told([load(port, paths, seconds) for _ in range(rounds)], seconds)} |")
    return "\n".join(lines)


def told(rounds: list[list[float]], seconds: float) -> str:
    """Return rate, p50, p99 and maximum as medians over the rounds."""
    rate = statistics.median(len(r) / seconds for r in rounds)
    at = [statistics.median(float(np.percentile(r, q)) for r in rounds) * 1000 for q in (50, 99, 100)]
    return " | ".join([f"{rate:,.0f}", *(f"{x:.2f}" for x in at)])


if __name__ == "__main__":
    raise SystemExit(main())
