"""Fixtures of browser tests: the system that `make up` runs, and an installed Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.servers import running_settings
from models.settings.settings import Settings
from pipelines.cli.up import Running
from tests.browser.chromium import Chromium, found


@pytest.fixture(scope="session")
def up() -> Settings:
    settings = Settings.from_env()
    ready = running_settings(settings)
    if ready is None or not Running(settings).alive():
        pytest.fail(f"nothing of {settings.home} runs; `make up DETACH=1` first", pytrace=False)
    return ready


@pytest.fixture
def browser() -> Iterator[Chromium]:
    program = found()
    if program is None:
        pytest.fail("no Chromium is installed (on Debian: apt-get install chromium)", pytrace=False)
    with Chromium(program) as chromium:
        yield chromium
