"""Use the reader's page in a real Chromium: a list with reasons, a missing item, keyboard only."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from models.settings.settings import Settings
from pipelines.cli import first_build as marketplace
from tests.browser.chromium import Chromium

pytestmark = pytest.mark.browser


def asked(up: Settings, path: str) -> Any:
    with urllib.request.urlopen(f"{up.reader_address}{path}", timeout=30) as answer:
        return json.load(answer)


def saying(sentence: str) -> Callable[[str], bool]:
    return lambda text: sentence in text


def shown(browser: Chromium) -> list[str]:
    return list(browser.ask("[...document.querySelectorAll('#list tbody .id')].map(e => e.textContent)"))


def press(browser: Chromium, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
        browser.tell("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)
    time.sleep(0.2)


def test_a_list_and_a_missing_startup_are_explained(browser: Chromium, up: Settings) -> None:
    surface, owner = next((s, o) for s, o in marketplace.examples(up) if s.startswith("startups/"))
    stored = [p["id"] for p in asked(up, f"/api/recommendations/{surface}/{owner}?limit=100")["startups"]]
    expected = stored[:10]
    browser.open(f"{up.reader_address}/lists#{surface}/{owner}")
    browser.wait_for(lambda text: "Live:" in text and "ALS" in text)
    assert shown(browser) == expected
    assert browser.ask("document.querySelectorAll('#list meter').length") > len(expected)
    browser.picture(up.home / "pictures" / "page-list.png")

    items = [f["id"] for f in asked(up, f"/api/find/{surface}/items?q=aa")["found"]]
    for item in (expected[1], *[i for i in items if i not in stored][:1]):
        browser.ask("document.getElementById('item').value = ''")
        browser.type_into("#item", item)
        browser.ask("document.querySelector('#why button').click()")
        sentence = "is in the list, at place 2" if item == expected[1] else "is not in the list: "
        browser.wait_for(saying(sentence))
    browser.picture(up.home / "pictures" / "page-why.png")
    assert browser.ask("document.getElementById('trouble').hidden")


def test_somebody_is_found_and_chosen_by_keyboard(browser: Chromium, up: Settings) -> None:
    browser.open(f"{up.reader_address}/lists")
    browser.wait_for(lambda text: "Live:" in text)
    surface = browser.ask("document.getElementById('surface').value")
    found = asked(up, f"/api/find/{surface}/owners?q=be")["found"]
    assert len(found) > 1
    browser.type_into("#owner", "be")
    browser.wait_for(lambda text: found[1]["id"][:8] in text)
    press(browser, "ArrowDown", 40)
    press(browser, "Enter", 13)
    assert browser.ask("document.getElementById('owner').value") == found[1]["name"]
    press(browser, "Enter", 13)
    browser.wait_for(lambda text: f"for {found[1]['name']}" in text)
    assert shown(browser)


def test_everything_that_is_asked_for_has_a_label(browser: Chromium, up: Settings) -> None:
    browser.open(f"{up.reader_address}/lists")
    browser.wait_for(lambda text: "Live:" in text)
    bare = browser.ask("[...document.querySelectorAll('input, select')].filter(e => !e.labels.length).map(e => e.id)")
    assert bare == []
    assert browser.ask("document.documentElement.lang") == "en"
