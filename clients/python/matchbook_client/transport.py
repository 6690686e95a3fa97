"""Sends requests with the key, and repeats those that got no answer or were refused for now."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote, urlencode

import urllib3

from matchbook_client.types import JOINED, ErrorDetail

#: Statuses that say "not now": a limit, a server that is down, and a proxy without a reader behind it.
LATER = (429, 502, 503, 504)
FIRST_WAIT_S = 0.1


class MatchbookError(Exception):
    """A request that failed for good.

    status: of the last answer, None without one. code: stable, see docs/reference/api.md; `no_answer` without one.
    retry_after_s: if the reader said when to try again, and that is longer than the client waits.
    """

    def __init__(self, status: int | None, error: ErrorDetail, retry_after_s: float | None = None) -> None:
        super().__init__(f"{error['code']}: expected {error['expected']}, got {error['got']}; {error['hint']}")
        self.status, self.code, self.hint, self.retry_after_s = status, error["code"], error["hint"], retry_after_s


class Transport:
    """Holds the address, the key and the connections of one reader. Threads may share it.

    Every request may be repeated: lists only read, and an event counts once by its `event_id`.
    key: sent as X-API-Key. timeout_s: of one try. retries: after the first try. longest_wait_s: a reader that asks for
    a longer pause is not asked again.
    """

    def __init__(
        self,
        address: str,
        key: str | None = None,
        *,
        timeout_s: float = 5.0,
        retries: int = 3,
        longest_wait_s: float = 30.0,
        connections: int = 10,
    ) -> None:
        self._address, self._retries, self._longest_wait_s = address.rstrip("/"), retries, longest_wait_s
        self._headers = {"Accept": "application/json", **({"X-API-Key": key} if key else {})}
        self._pool = urllib3.PoolManager(maxsize=connections, timeout=urllib3.Timeout(timeout_s), retries=False)

    def send(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the JSON of a successful answer. Raises MatchbookError."""
        given = urlencode(_pairs(query or {}))
        url = f"{self._address}{path}{'?' if given else ''}{given}"
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({} if data is None else {"Content-Type": "application/json"})
        for tried in range(self._retries + 1):
            last = tried == self._retries
            pause = FIRST_WAIT_S * 2**tried * random.uniform(0.5, 1.5)  # noqa: S311 spreads clients, keeps no secret
            try:
                answer = self._pool.request(method, url, body=data, headers=headers, redirect=False)
            except urllib3.exceptions.HTTPError as error:
                if last:
                    raise _no_answer(self._address, error) from error
            else:
                if answer.status < 300:
                    return answer.json()
                asked = _retry_after(answer)
                if last or answer.status not in LATER or (asked or 0) > self._longest_wait_s:
                    raise _refused(answer, asked)
                pause = pause if asked is None else asked
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def quoted(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in query.items():
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        several = [",".join(map(str, several))] if name in JOINED and several else several
        found += [(name, str(v)) for v in several if v is not None]
    return found


def _retry_after(answer: urllib3.BaseHTTPResponse) -> float | None:
    """Return the seconds of `Retry-After`; None without one, or if it is a date."""
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else None


def _refused(answer: urllib3.BaseHTTPResponse, asked: float | None) -> MatchbookError:
    try:
        error: ErrorDetail = answer.json()["error"]
        return MatchbookError(answer.status, error, asked)
    except (ValueError, KeyError, TypeError):  # not the reader: a proxy, or another server
        got = f"status {answer.status} with {answer.data[:200]!r}"
        hint = "check the address, and what stands between this client and the reader"
        return MatchbookError(
            answer.status,
            {"code": f"http_{answer.status}", "expected": "an answer of the reader", "got": got, "hint": hint},
            asked,
        )


def _no_answer(address: str, error: Exception) -> MatchbookError:
    return MatchbookError(
        None,
        {
            "code": "no_answer",
            "expected": f"an answer of {address}",
            "got": f"{type(error).__name__}: {error}",
            "hint": "start the reader, or check the address; everything may be sent again",
        },
    )
