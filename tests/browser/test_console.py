"""Open the console in a real Chromium: no accessibility findings, no scroll sideways, charts, keyboard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from models.settings.settings import Settings
from pipelines.redis_client import current_release
from tests.browser.chromium import Chromium
from tests.console_pages import PAGES
from tests.waiting import until

pytestmark = pytest.mark.browser
AXE = (Path(__file__).parent / "vendored" / "axe.js").read_text()
LOOKS = [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)]


def look(browser: Chromium, scheme: str, width: int) -> None:
    browser.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.tell("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)


def show(browser: Chromium, address: str) -> None:
    browser.open(address)
    browser.wait_for(lambda text: "Matchbook" in text and "API" in text)
    time.sleep(0.3)  # seconds until charts are drawn


def findings(browser: Chromium) -> Any:
    """Return what axe-core finds on the present page."""
    browser.tell("Page.setBypassCSP", enabled=True)  # only for the checker: the policy forbids inserted scripts
    browser.ask(f"{AXE};0")
    script = "axe.run().then(r => JSON.stringify(r.violations.map(v => [v.id, v.nodes.map(n => n.html)])))"
    return json.loads(browser.ask(script))


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_pages_have_no_accessibility_findings_and_fit_the_width(
    browser: Chromium, up: Settings, scheme: str, width: int
) -> None:
    look(browser, scheme, width)
    live = current_release(up)
    for path in (*PAGES, "/nowhere", f"/releases/{live}", f"/actions/promote/{live}"):
        show(browser, up.reader_address + path)
        assert browser.ask("document.documentElement.scrollWidth") <= width, path
        name = path.strip("/").replace("/", "-") or "overview"
        browser.picture(up.home / "pictures" / f"console-{name}-{scheme}-{width}.png")
        assert findings(browser) == [], path


#: Finds tables that scroll and do not show it, cannot be focused or named, or hide a cell behind one that acts.
UNSEEN = """[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).filter(e => {
  const box = c => c.getBoundingClientRect();
  const hides = [...e.querySelectorAll('.act')].map(a => [box(a.previousElementSibling), box(a)]);
  return !getComputedStyle(e).backgroundImage.includes('gradient') || e.tabIndex !== 0 || !e.ariaLabel
    || hides.some(([cell, act]) => cell.right > act.left + 1);
}).map(e => e.ariaLabel || e.outerHTML.slice(0, 80))"""


def test_a_table_that_scrolls_shows_it_and_hides_no_cell_on_a_phone(browser: Chromium, up: Settings) -> None:
    look(browser, "light", 390)
    for path in PAGES:
        show(browser, up.reader_address + path)
        assert browser.ask(UNSEEN) == [], path


def test_a_chart_is_drawn_from_the_numbers_of_its_table(browser: Chromium, up: Settings) -> None:
    look(browser, "light", 1280)
    show(browser, up.reader_address + "/")
    drawable = "[...document.querySelectorAll('figure')].filter(f => JSON.parse(f.dataset.chart).x.length > 1)"
    drawn = f"{drawable}.every(f => f.querySelector('canvas') && f.querySelector('.legend'))"
    until(lambda: browser.ask(drawn), 30)
    rows = "f.querySelectorAll('tbody tr').length === JSON.parse(f.dataset.chart).x.length"
    assert browser.ask(f"[...document.querySelectorAll('figure')].every(f => {rows})")


def test_the_first_tab_skips_to_the_content(browser: Chromium, up: Settings) -> None:
    show(browser, up.reader_address + "/releases")
    for kind in ("keyDown", "keyUp"):
        browser.tell("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.ask("document.activeElement.textContent") == "Skip to the content"


def test_pages_work_without_script(browser: Chromium, up: Settings) -> None:
    browser.tell("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(up.reader_address + "/")
    time.sleep(1)
    browser.tell("Emulation.setScriptExecutionDisabled", value=False)
    text = browser.text()
    assert "Live release" in text and "Last builds" in text and str(current_release(up)) in text
