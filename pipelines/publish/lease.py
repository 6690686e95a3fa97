"""Allow one publisher at a time: a renewed lease, and a token that every write checks.

A publisher that was paused past its lease (a frozen machine, a debugger) may still write. So every write runs in a
script that compares the token with the newest one (docs/decisions/0023-fencing-token.md).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from models.errors import ServiceError
from models.lists.redis_format import Keys
from pipelines.redis_client import decoded

log = logging.getLogger(__name__)
#: Seconds that the next publisher waits after a kill. A running one renews three times in this time.
LEASE_S = 10.0
_LUA = Path(__file__).parent / "lua"


class Lease:
    """The lease of a publisher: its token, and the only way to write."""

    def __init__(self, client: redis.Redis, keys: Keys, token: str) -> None:
        self.client, self.keys, self.token = client, keys, token
        self._scripts = {p.stem: client.register_script(p.read_text()) for p in _LUA.glob("*.lua")}

    def write(self, command: str, keys: Sequence[str], *words: Any, pipe: Any = None) -> Any:
        """Run a command whose first arguments are `keys`. Fails with FENCED if a newer publisher was admitted."""
        return self.script("fenced", keys, command, *words, pipe=pipe)

    def script(self, name: str, keys: Sequence[str], *words: Any, pipe: Any = None) -> Any:
        """Run a script of `lua/` that checks the token first."""
        return self._scripts[name](keys=[self.keys.fence, *keys], args=[self.token, *words], client=pipe)

    def renew(self) -> None:
        self.write("SET", [self.keys.publisher], self.token, "PX", int(LEASE_S * 1000))

    def keep(self, stop: threading.Event) -> None:
        """Renew until `stop` is set or a newer publisher is admitted."""
        while not stop.wait(LEASE_S / 3):
            try:
                self.renew()
            except redis.ResponseError as error:
                log.warning("the lease is lost: %s", error)
                return
            except redis.RedisError as error:
                log.warning("the lease could not be renewed: %s", error)


@contextmanager
def lease(client: redis.Redis, keys: Keys) -> Iterator[Lease]:
    """Become the only publisher. Waits for the lease of a killed one; raises ServiceError while another works."""
    held = Lease(client, keys, _admitted(client, keys))
    stop = threading.Event()
    keeper = threading.Thread(target=held.keep, args=[stop], name="lease", daemon=True)
    keeper.start()
    try:
        yield held
    finally:
        stop.set()
        keeper.join()
        _let_go(held)


def _admitted(client: redis.Redis, keys: Keys) -> str:
    admit = client.register_script((_LUA / "admit.lua").read_text())
    deadline = time.monotonic() + 1.2 * LEASE_S
    while not (token := decoded(admit(keys=[keys.publisher, keys.fence], args=[int(LEASE_S * 1000)]))):
        if time.monotonic() > deadline:
            raise ServiceError("another publish is under way and keeps its lease; try this one again when it is done")
        time.sleep(LEASE_S / 50)
    return token


def _let_go(held: Lease) -> None:
    """End the lease, unless another publisher has it now."""
    try:
        held.write("UNLINK", [held.keys.publisher])
    except redis.RedisError as error:
        log.info("the lease was not released, so it expires: %s", error)
