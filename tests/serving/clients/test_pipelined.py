"""Share the event loop's connection between concurrent requests, and reopen it after any loss without a wait."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Coroutine
from typing import Any

import pytest
import redis

from models.lists.redis_format import Keys
from models.schema import Surface
from models.settings.settings import Settings
from serving.clients import redis as client_of_reader
from serving.clients.pipelined import Pipelined
from tests.serving.proxy import Wires

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
GET = b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n"


def run(asked: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asked)


def test_requests_of_one_turn_share_a_round_trip(wires: Wires) -> None:
    async def ask() -> None:
        connection = Pipelined(wires.settings.layered({"rate_limit": 1000}, "given"))
        await connection.ask(GET, 1)
        before = wires.redis.asked
        owners = [str(uuid.uuid4()) for _ in range(50)]
        found = await asyncio.gather(*(connection.hit("caller", "r", SURFACE, o) for o in owners))
        assert wires.redis.asked - before == 1
        assert [count for _, count in found] == list(range(1, 51))
        assert all((f.stored, f.since) == (None, []) for f, _ in found)
        connection.close()

    run(ask())


def test_no_caller_gets_more_than_the_limit(settings: Settings, client: redis.Redis, keys: Keys) -> None:
    """A process counts several requests in advance. Below the limit none is refused."""
    given, owner = settings.layered({"rate_limit": 30_000}, "given"), str(uuid.uuid4())

    async def ask() -> None:
        until_next = 60 - time.time() % 60
        if until_next < 5:
            await asyncio.sleep(until_next)  # all within one minute
        one, other = Pipelined(given), Pipelined(given)
        for _ in range(5):
            for connection in (one, other):
                assert (await connection.hit("caller", "r", SURFACE, owner))[1] <= 30_000
        rate = client_of_reader.rate_key(keys, "caller")
        assert client.get(rate) == b"12", "ten requests, three at once"
        await one.hit("caller", "r", SURFACE, owner)
        await other.hit("caller", "r", SURFACE, owner)
        client.set(rate, 29_998)
        allowed = [(await c.hit("caller", "r", SURFACE, owner))[1] <= 30_000 for c in (one, one, one, other)]
        assert allowed == [True, True, False, False]
        one.close()
        other.close()

    run(ask())


def test_each_request_gets_its_own_answers(settings: Settings, client: redis.Redis, keys: Keys) -> None:
    owners = [str(uuid.uuid4()) for _ in range(200)]
    key = keys.lists("r", SURFACE)
    client.hset(key, mapping={uuid.UUID(o).bytes: o * 500 for o in owners})  # several reads of the socket

    async def ask() -> None:
        connection = Pipelined(settings)
        found = await asyncio.gather(*(connection.hit("caller", "r", SURFACE, o) for o in owners))
        assert [f.stored for f, _ in found] == [(o * 500).encode() for o in owners]
        client.set(key, "no hash")
        refused = await asyncio.gather(
            connection.hit("caller", "r", SURFACE, owners[0]), connection.ask(GET, 1), return_exceptions=True
        )
        assert isinstance(refused[0], redis.ResponseError)
        assert refused[1] == [None]
        connection.close()

    run(ask())


def test_a_silent_server_is_given_up_and_a_lost_connection_opened_again(wires: Wires) -> None:
    async def ask() -> None:
        connection = Pipelined(wires.settings)
        await connection.ask(GET, 1)
        wires.redis.frozen = True
        silent = await asyncio.gather(*(connection.ask(GET, 1) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(error, TimeoutError) for error in silent)
        wires.redis.frozen = False
        assert await connection.ask(GET, 1) == [None]
        wires.redis.down()
        with pytest.raises((redis.RedisError, OSError)):
            await connection.ask(GET, 1)
        with pytest.raises((redis.RedisError, OSError)):
            await connection.ask(GET, 1)
        wires.redis.up()
        assert await connection.ask(GET, 1) == [None]
        connection.close()

    run(ask())


def test_a_late_event_loop_is_no_silent_server(wires: Wires) -> None:
    async def ask() -> None:
        connection = Pipelined(wires.settings)
        await connection.ask(GET, 1)
        answer = asyncio.create_task(connection.ask(GET, 1))
        await asyncio.sleep(0.01)
        time.sleep(3 * wires.settings.reader.redis_timeout_s)  # the answer has arrived, but nobody reads it
        assert await answer == [None]
        connection.close()

    run(ask())
