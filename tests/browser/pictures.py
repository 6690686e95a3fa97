"""Take the pictures of docs/images from a running `make up`: `python -m tests.browser.pictures`."""

from __future__ import annotations

import time

from PIL import Image

from local.airflow import address
from local.airflow_api import DAG
from local.servers import running_settings
from models.errors import ServiceError
from models.settings.settings import Settings
from pipelines.cli import first_build as marketplace
from pipelines.publish.history import list_releases
from tests.browser.chromium import Chromium, found
from tests.browser.test_pages import log_in
from tests.paths import ROOT

FOLDER = ROOT / "docs" / "images"
COLOURS = 192
SETTLED_S = 5.0  # seconds until Airflow's graph stops moving


def main() -> None:
    """Write the pictures. Needs two builds. Raises ServiceError if nothing runs or no browser is installed."""
    up, program = running_settings(Settings.from_env()), found()
    if up is None or program is None:
        raise ServiceError(
            "expected a running Matchbook and a Chromium: `make up DETACH=1`, `apt-get install chromium`"
        )
    FOLDER.mkdir(exist_ok=True)
    with Chromium(program) as browser:
        _console(browser, up)
        _list(browser, up)
        log_in(browser, up)
        _dag(browser, up)
        _report(browser, up)


def _console(browser: Chromium, up: Settings) -> None:
    browser.tell("Emulation.setScrollbarsHidden", hidden=True)
    stored = next(r["release"] for r in list_releases(up) if r["state"] != "live")
    for name, path, height in (("overview", "/", 1180), ("promote", f"/actions/promote/{stored}", 560)):
        _resize(browser, 1180, height)
        browser.open(up.reader_address + path)
        browser.wait_for(lambda text: "What will happen" in text or "Last builds" in text)
        time.sleep(1)  # seconds until charts are drawn
        _take(browser, name)


def _list(browser: Chromium, up: Settings) -> None:
    _resize(browser, 1100, 680)
    owner = next(o for s, o in marketplace.examples(up) if s.startswith("startups/"))
    browser.open(f"{up.reader_address}/people/{owner}")
    browser.wait_for(lambda text: "What the models say" in text and "ALS" in text)
    browser.ask("document.querySelector('[id^=list-]').scrollIntoView()")
    _take(browser, "list")


def _dag(browser: Chromium, up: Settings) -> None:
    _resize(browser, 1500, 620)
    browser.ask(f"localStorage.setItem('dag_view-{DAG}', 'graph')")
    browser.open(f"{address(up)}/dags/{DAG}")
    browser.wait_for(lambda text: all(group in text for group in ("prepare", "train", "score", "release")))
    browser.ask("[...document.querySelectorAll('button')].find(b => b.ariaLabel?.startsWith('Show Graph'))?.click()")
    for label in ("Collapse Details Panel", "Expand all task groups", "Fit View"):
        time.sleep(SETTLED_S)
        browser.ask(f"[...document.querySelectorAll('button')].find(b => b.ariaLabel === '{label}')?.click()")
    time.sleep(SETTLED_S)
    _take(browser, "dag", (76, 155, 1440, 535))


def _report(browser: Chromium, up: Settings) -> None:
    _resize(browser, 1100, 780)
    newest = max((up.artifacts / "reports").iterdir())
    browser.open(f"{address(up)}/matchbook/reports/{newest.name}")
    browser.wait_for(lambda text: "NDCG" in text)
    browser.ask("document.getElementById('models').scrollIntoView()")
    _take(browser, "report")


def _resize(browser: Chromium, width: int, height: int) -> None:
    browser.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)


def _take(browser: Chromium, name: str, box: tuple[int, int, int, int] | None = None) -> None:
    path = FOLDER / f"{name}.png"
    browser.picture(path)
    with Image.open(path) as picture:
        small = picture.convert("RGB").crop(box or (0, 0, *picture.size)).quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
