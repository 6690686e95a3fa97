"""One publisher at a time: a lease that is renewed while it works, and a token without which nothing can be written.

The lease keeps two publishers from working side by side. It cannot stop one that was paused beyond its end (a frozen
machine, a debugger): the token does. Every write of a load runs in a script that compares it with the newest token
handed out, so whoever wakes up late can write nothing, neither what readers see nor what another publisher loads
(docs/decisions/0023-fencing-token.md).
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
#: A killed publisher keeps the next one waiting for so long; a living one renews three times as often.
LEASE_S = 10.0
_LUA = Path(__file__).parent / "lua"


class Lease:
    """What a publisher holds: its token, and the only way to write."""

    def __init__(self, client: redis.Redis, keys: Keys, token: str) -> None:
        self.client, self.keys, self.token = client, keys, token
        self._scripts = {p.stem: client.register_script(p.read_text()) for p in _LUA.glob("*.lua")}

    def write(self, command: str, keys: Sequence[str], *words: Any, pipe: Any = None) -> Any:
        """Run one command whose first arguments are `keys`, unless a newer publisher was let in (error FENCED)."""
        return self.script("fenced", keys, command, *words, pipe=pipe)

    def script(self, name: str, keys: Sequence[str], *words: Any, pipe: Any = None) -> Any:
        """Run a script of `lua/` that checks the token before it does anything."""
        return self._scripts[name](keys=[self.keys.fence, *keys], args=[self.token, *words], client=pipe)

    def renew(self) -> None:
        """Hold on for another LEASE_S."""
        self.write("SET", [self.keys.publisher], self.token, "PX", int(LEASE_S * 1000))

    def keep(self, stop: threading.Event) -> None:
        """Renew until told to stop, or until a newer publisher was let in."""
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
    """Be the one publisher. Waits as long as a killed one's lease can last; raises ServiceError while another works."""
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
    """End the lease, unless it is another's by now."""
    try:
        held.write("UNLINK", [held.keys.publisher])
    except redis.RedisError as error:
        log.info("the lease was not given back, it ends by itself: %s", error)
