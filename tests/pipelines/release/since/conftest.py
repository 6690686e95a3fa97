"""The two servers of a test, asked directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import text

from models.nouns.release import Keys
from models.settings import Settings
from pipelines.postgres import engine, transaction

Sql = Callable[..., list[Any]]


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        yield client


@pytest.fixture
def keys(settings: Settings) -> Keys:
    return Keys(settings.namespace)


@pytest.fixture
def sql(settings: Settings) -> Sql:
    def run(statement: str, **values: object) -> list[Any]:
        with transaction(engine(settings)) as connection:
            done = connection.execute(text(statement), values)
            return [tuple(row) for row in done] if done.returns_rows else []

    return run
