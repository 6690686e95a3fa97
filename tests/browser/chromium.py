"""Control a real Chromium over its debugging protocol. Only the browser is needed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LARGEST = 64 * 1024 * 1024  # bytes; a screenshot is one message


def found() -> str | None:
    """Return the path of the browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """Controls one page of one browser, as a context manager."""

    def __init__(self, program: str) -> None:
        self._stack = ExitStack()
        self._profile = Path(
            self._stack.enter_context(
                tempfile.TemporaryDirectory(prefix="matchbook-browser-", ignore_cleanup_errors=True)
            )
        )
        self._process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--remote-debugging-port=0",
                "--window-size=1400,1000",
                f"--user-data-dir={self._profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(self._end)
        self._asked = 0

    def __enter__(self) -> Chromium:
        with self._stack as stack:
            self._page = stack.enter_context(connect(self._page_address(), max_size=LARGEST, proxy=None))
            self.tell("Page.enable")
            self._stack = stack.pop_all()  # from here on __exit__ ends it
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _page_address(self) -> str:
        """Return the address of the page. The browser writes its port into its profile."""
        told, deadline = self._profile / "DevToolsActivePort", time.monotonic() + 30
        while not (told.is_file() and told.read_text().count("\n")):
            assert self._process.poll() is None and time.monotonic() < deadline, "the browser could not be started"
            time.sleep(0.1)
        host = f"127.0.0.1:{told.read_text().split()[0]}"
        with urllib.request.urlopen(f"http://{host}/json/list", timeout=10) as answer:
            return str(next(p["webSocketDebuggerUrl"] for p in json.load(answer) if p["type"] == "page"))

    def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and return its answer. Ignore earlier events."""
        self._asked += 1
        self._page.send(json.dumps({"id": self._asked, "method": method, "params": params}))
        while True:
            answer = json.loads(self._page.recv(timeout=60))
            if answer.get("id") == self._asked:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, address: str) -> None:
        self.tell("Page.navigate", url=address)

    def ask(self, script: str) -> Any:
        """Return the value of a JavaScript expression on the page."""
        result = self.tell("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return result["result"].get("value")

    def text(self) -> str:
        return str(self.ask("document.body ? document.body.innerText : ''"))

    def wait_for(self, condition: Callable[[str], bool], patience_s: float = 60.0) -> str:
        """Wait until the page's text meets the condition, and return it."""
        deadline = time.monotonic() + patience_s
        while not condition(text := self.text()):
            assert time.monotonic() < deadline, f"the page does not show it; it shows:\n{text[:2000]}"
            time.sleep(0.3)
        return text

    def follow(self, script: str) -> str:
        """Click the link or button that a JavaScript expression finds, and return the text of the next page."""
        assert self.ask(f"(window.left = true, {script}.click(), true)"), f"nothing to click: {script}"
        self.wait_for(lambda _: self.ask("window.left || document.readyState !== 'complete'") is False)
        return self.text()

    def type_into(self, selector: str, text: str) -> None:
        """Focus a field and type with key events, so that the scripts of the page react."""
        assert self.ask(f"document.querySelector({json.dumps(selector)})?.focus() === undefined"), selector
        self.tell("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"]))
