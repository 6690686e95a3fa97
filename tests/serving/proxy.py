"""Run a small TCP proxy that can be slow, frozen or down, to imitate failures of a server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass

from models.settings.settings import Settings


class Proxy:
    """Forwards 127.0.0.1:`port` to a target.

    `down()` refuses and cuts connections, `up()` serves again. `frozen` holds every byte back on open connections.
    `delay_s` delays each piece of an answer. `asked` counts the pieces that clients sent: one per round trip if each
    waits for its answer.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.delay_s = 0.0
        self.frozen = False
        self.asked = 0
        self._open: list[socket.socket] = []
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def down(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for s in self._open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        self._open.clear()

    def up(self) -> None:
        self.frozen = False
        self.delay_s = 0.0
        self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            threading.Thread(target=self._pump, args=[client, server, False], daemon=True).start()
            threading.Thread(target=self._pump, args=[server, client, True], daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self.frozen:
                    time.sleep(0.01)
                if answer and self.delay_s:
                    time.sleep(self.delay_s)
                self.asked += not answer
                sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


@dataclass
class Wires:
    """Proxies in front of both servers, and settings that use them."""

    settings: Settings
    redis: Proxy
    postgres: Proxy
