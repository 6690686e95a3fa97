"""Use the pages of people, startups and compared releases in a real Chromium, as a newcomer does."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from models.settings.settings import Settings
from pipelines.cli import first_build as marketplace
from tests.browser.chromium import Chromium
from tests.browser.test_console import LOOKS, UNSEEN, findings, look, show

pytestmark = pytest.mark.browser


def asked(up: Settings, path: str) -> Any:
    with urllib.request.urlopen(f"{up.reader_address}{path}", timeout=30) as answer:
        return json.load(answer)


def owner_of(up: Settings, start: str) -> str:
    return next(owner for surface, owner in marketplace.examples(up) if surface.startswith(start))


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_pages_have_no_accessibility_findings_and_fit_the_width(
    browser: Chromium, up: Settings, scheme: str, width: int
) -> None:
    look(browser, scheme, width)
    investor, startup = owner_of(up, "startups/for-investor"), owner_of(up, "investors/")
    pages = {
        "filtered": "/startups?order=least&state=listed",
        "person": f"/people/{investor}?why=aa",
        "startup": f"/startups/{startup}",
    }
    for name, path in pages.items():
        show(browser, up.reader_address + path)
        assert browser.ask("document.documentElement.scrollWidth") <= width, path
        browser.picture(up.home / "pictures" / f"console-{name}-{scheme}-{width}.png")
        assert findings(browser) == [], path
        assert browser.ask(UNSEEN) == [], path


def test_why_one_investor_sees_one_startup_and_not_another(browser: Chromium, up: Settings) -> None:
    """From the first page: People, the investor, the reasons of a place, then why another startup is missing."""
    look(browser, "light", 1280)
    investor = owner_of(up, "startups/for-investor")
    listed = [
        p["id"] for p in asked(up, f"/api/recommendations/startups/for-investor/{investor}?limit=100")["startups"]
    ]
    show(browser, up.reader_address + "/")
    browser.follow("[...document.querySelectorAll('nav a')].find(a => a.textContent === 'People')")
    browser.type_into("#q", investor)
    assert "What the models say" in browser.follow("document.querySelector('form[role=search] button')")
    shown = browser.ask("[...document.querySelectorAll('table.list a.entity')].map(a => a.href.slice(-36))")
    assert shown == listed[:20]
    assert browser.ask("[...document.querySelectorAll('table.list td.why')].every(cell => cell.textContent.trim())")

    other = next(
        p["id"] for p in asked(up, "/api/find/startups/for-investor/items?q=aa")["found"] if p["id"] not in listed
    )
    browser.type_into("#why-field", other)
    told = browser.follow("document.querySelector('#why ~ form button')")
    assert "is not in the list: " in told and "is not in the list: ." not in told


def test_the_startup_that_nobody_is_shown_is_two_steps_away(browser: Chromium, up: Settings) -> None:
    show(browser, up.reader_address + "/startups")
    browser.follow("[...document.querySelectorAll('a')].find(a => a.textContent === 'Show them first')")
    first = browser.ask("[...document.querySelectorAll('tbody tr')][0].querySelectorAll('.badge.open').length")
    assert first == 2
    told = browser.follow("document.querySelector('tbody th a')")
    assert "Nobody. Nothing hides it" in told
    ask = "document.querySelector('#seen ~ div a[href*=\"?why=\"]')"
    if browser.ask(f"Boolean({ask})"):  # somebody sees a similar one
        assert "is not in the list: " in browser.follow(ask)
