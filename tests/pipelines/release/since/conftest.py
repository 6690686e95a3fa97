"""PostgreSQL, asked directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from models.settings import Settings
from pipelines.postgres import engine, transaction

Sql = Callable[..., list[Any]]


@pytest.fixture
def sql(settings: Settings) -> Sql:
    def run(statement: str, **values: object) -> list[Any]:
        with transaction(engine(settings)) as connection:
            done = connection.execute(text(statement), values)
            return [tuple(row) for row in done] if done.returns_rows else []

    return run
