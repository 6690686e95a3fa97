"""Open pages and send forms of the console as a person's browser does."""

from __future__ import annotations

import html
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import pytest


@dataclass
class Browser:
    """A person's browser: it keeps cookies, follows redirects and sends forms with their token."""

    address: str
    cookies: CookieJar = field(default_factory=CookieJar)

    def open(self, path: str, form: Mapping[str, str] | None = None) -> tuple[str, str]:
        """Return the path that answered, after redirects, and its page."""
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )
        data = None if form is None else urlencode(form).encode()
        request = urllib.request.Request(self.address + path, data, {"Sec-Fetch-Site": "same-origin"})
        try:
            with opener.open(request, timeout=60) as answer:
                return str(answer.url).removeprefix(self.address), answer.read().decode()
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path}: {error.code} {error.read().decode()[:2000]}")

    def words(self, path: str) -> str:
        return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", self.open(path)[1]).split()))

    def confirm(self, path: str, **more: str) -> str:
        """Send the form of a page and return the path of the run that it started."""
        page = self.open(path)[1]
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
        return self.open(path.partition("?")[0], {**hidden, **more})[0]
