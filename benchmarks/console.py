"""First paint of the console's pages in Chromium: `python -m benchmarks.console [--visits 10] [--first] [PATH ...]`.

Run it beside a detached `make up` with the same MATCHBOOK_HOME. Each visit has an empty cache. Prints for each page the
median and the largest time to the first paint, and the time until the server has sent the page, in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.faults.harm import free_port
from local.airflow import CHECKOUT
from local.processes import start
from local.reader import reader_environment, wait_for_reader
from local.servers import running_settings
from models.errors import ServiceError
from models.settings.settings import Settings
from pipelines.cli import first_build as marketplace
from tests.browser.chromium import Chromium, found
from tests.console_pages import PAGES

ASKED = """(() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const page = performance.getEntriesByType("navigation")[0];
  return paint && page.responseEnd ? [paint.startTime, page.responseEnd - page.requestStart] : null;
})()"""
PATIENCE_S = 20.0
SETTLED_S = 2.0  # seconds after a reader answers: it is ready, and its models are open


def visit(browser: Chromium, address: str) -> tuple[float, float]:
    """Return the milliseconds to the first paint, and those of the answer of the server. Raises ServiceError."""
    browser.open("about:blank")
    browser.tell("Network.clearBrowserCache")
    browser.open(address)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if browser.ask("location.href") == address and (measured := browser.ask(ASKED)):
            return measured[0], measured[1]
        time.sleep(0.05)
    raise ServiceError(f"{address} was not painted within {PATIENCE_S:.0f} s; does `make up` run?")


@contextmanager
def fresh_reader(settings: Settings) -> Iterator[Settings]:
    """Run another reader of one process, which has answered nothing yet, and yield its settings."""
    own = settings.layered({"reader_port": free_port(), "reader_workers": 1}, "given")
    changed = {"MATCHBOOK_READER_PORT": str(own.reader_port), "MATCHBOOK_READER_WORKERS": "1"}
    environment = reader_environment(settings) | changed
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "serving.processes"]
        process = start(command, Path(folder) / "reader.log", environment, CHECKOUT, group=True)
        try:
            wait_for_reader(own, process)
            time.sleep(SETTLED_S)
            yield own
        finally:
            process.stop()


def measured(browser: Chromium, settings: Settings, page: str, visits: int, first: bool) -> list[tuple[float, float]]:
    """Return what `visit` measures: of first requests of new processes, else of later ones of the running reader."""
    if not first:
        return [visit(browser, settings.reader_address + page) for _ in range(visits + 1)][1:]
    found = []
    for _ in range(visits):
        with fresh_reader(settings) as own:
            found.append(visit(browser, own.reader_address + page))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--first", action="store_true", help="each visit is the first request of a new reader process")
    parser.add_argument("pages", nargs="*", metavar="PATH", help="by default every page, a person's and a startup's")
    args = parser.parse_args()
    program, settings = found(), running_settings(Settings.from_env())
    if program is None:
        raise ServiceError("expected an installed Chromium (on Debian: apt-get install chromium)")
    if settings is None:
        raise ServiceError("expected a running Matchbook: `make up DETACH=1`")
    owners = {surface.partition("/")[0]: owner for surface, owner in marketplace.examples(settings)}
    entities = (f"/people/{owners['startups']}", f"/startups/{owners['investors']}")
    with Chromium(program) as browser:
        browser.tell("Network.enable")
        visit(browser, settings.reader_address + "/words")  # the browser's own first page
        for page in args.pages or (*PAGES, *entities):
            paint, server = zip(*measured(browser, settings, page, args.visits, args.first), strict=True)
            print(
                f"{page:<48} first paint {statistics.median(paint):6.0f} (at most {max(paint):.0f}) ms, "
                f"server {statistics.median(server):6.0f} ms",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
