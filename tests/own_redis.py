"""Start a separate Redis for one test, with its own configuration."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from local.redis import _installed


@dataclass(frozen=True)
class OwnRedis:
    """A running server. url: without a user. client: of its administrator."""

    port: int
    client: redis.Redis

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def own_redis(**configuration: object) -> Iterator[OwnRedis]:
    """Start a server with these settings (an underscore means a dash), without files. Stop it after the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    given = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no", **configuration}
    words = [w for name, value in given.items() for w in (f"--{name.replace('_', '-')}", str(value))]
    with tempfile.TemporaryDirectory(prefix="matchbook-redis-") as folder:
        process = subprocess.Popen(
            [str(_installed()), *words, "--dir", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        client = redis.Redis(port=port)
        try:
            until_it_answers(client, process)
            yield OwnRedis(port, client)
        finally:
            client.close()
            process.kill()
            process.wait(timeout=10)


def until_it_answers(client: redis.Redis, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            client.ping()
        except redis.ResponseError:
            return  # it answers, although this command is forbidden
        except redis.RedisError:
            assert process.poll() is None and time.monotonic() < end, "the server did not come up"
            time.sleep(0.02)
        else:
            return
