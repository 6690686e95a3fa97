"""PostgreSQL, asked directly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from models.settings import Settings
from tests.databases import execute

Sql = Callable[..., list[Any]]


@pytest.fixture
def sql(settings: Settings) -> Sql:
    return partial(execute, settings)
