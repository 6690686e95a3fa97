"""First paint of the console's pages in Chromium: `python -m benchmarks.console [--visits 10] [PATH ...]`.

Run it beside a detached `make up` with the same MATCHBOOK_HOME. Each visit has an empty cache. Prints for each page the
median and the largest time to the first paint, and the time of the server, in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from models.errors import ServiceError
from models.settings.settings import Settings
from tests.browser.chromium import Chromium, found

PAGES = ("/", "/releases", "/actions")
ASKED = """(() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const page = performance.getEntriesByType("navigation")[0];
  return paint && page.responseEnd ? [paint.startTime, page.responseEnd - page.requestStart] : null;
})()"""
PATIENCE_S = 20.0


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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("pages", nargs="*", default=PAGES, metavar="PATH")
    args = parser.parse_args()
    program, settings = found(), Settings.from_env()
    if program is None:
        raise ServiceError("expected an installed Chromium (on Debian: apt-get install chromium)")
    with Chromium(program) as browser:
        browser.tell("Network.enable")
        for page in args.pages:
            times = [visit(browser, settings.reader_address + page) for _ in range(args.visits + 1)][1:]
            paint, server = zip(*times, strict=True)
            print(
                f"{page:<40} first paint {statistics.median(paint):6.0f} (at most {max(paint):.0f}) ms, "
                f"server {statistics.median(server):6.0f} ms"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
