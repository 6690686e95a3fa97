"""Show the pages for people: Airflow's UI with the build, and a list in the reader."""

from __future__ import annotations

import json

import pytest

from local.airflow import address, admin_password
from local.airflow_api import DAG
from models.settings.settings import Settings
from pipelines.cli import first_build as marketplace
from tests.browser.chromium import Chromium

pytestmark = pytest.mark.browser


def log_in(browser: Chromium, up: Settings) -> None:
    browser.open(address(up))
    browser.wait_for(lambda text: "Sign into Airflow" in text or "Sign in" in text)
    browser.type_into("input[name=username]", "admin")
    browser.type_into("input[name=password]", admin_password(up))
    browser.ask("document.querySelector('button[type=submit]').click()")
    browser.wait_for(lambda text: "Dags" in text and "Sign in" not in text)


def test_an_operator_logs_in_and_finds_the_build(browser: Chromium, up: Settings) -> None:
    log_in(browser, up)
    browser.open(f"{address(up)}/dags")
    text = browser.wait_for(lambda text: DAG in text)
    browser.picture(up.home / "pictures" / "dags.png")
    assert "refresh_trending" in text and "Dag Import Error" not in text


def test_the_page_of_the_build_shows_its_groups(browser: Chromium, up: Settings) -> None:
    log_in(browser, up)
    browser.open(f"{address(up)}/dags/{DAG}")
    browser.wait_for(lambda text: all(group in text for group in ("prepare", "train", "judge", "score", "release")))
    browser.picture(up.home / "pictures" / "build.png")


def test_a_list_opens_in_the_browser(browser: Chromium, up: Settings) -> None:
    surface, owner = marketplace.examples(up)[0]
    browser.open(f"{up.reader_address}/api/recommendations/{surface}/{owner}?limit=5")
    body = json.loads(browser.wait_for(lambda text: "method_used" in text))
    assert body["startups" if surface.startswith("startups") else "users"]
