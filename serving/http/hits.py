"""Answer from a stored list on the event loop, from the RSGI scope to bytes, in one Redis round trip.

Flask answers all other requests with the same functions: refused requests, and lists that need more than one round
trip. So both ways give the same bytes (tests/serving/http/test_hits.py).
"""

from __future__ import annotations

import time
from typing import Any

import redis

from models.data.entities import is_id
from models.errors import RequestError
from models.schema import LIST_KINDS
from models.settings.settings import Settings
from serving.clients.breaker import Breaker
from serving.clients.pipelined import Pipelined
from serving.http.access import Access
from serving.http.answer_ids import AnswerIds
from serving.http.callers import HEADER, Callers
from serving.http.present import body
from serving.http.requests import SECURITY, URL_MOST, list_reply, query_of
from serving.http.routes import PREFIX
from serving.lists import Asked, ListReader

_KINDS = {f"{PREFIX}/{kind}": kind for kind in LIST_KINDS}
_BODY = ("content-length", "transfer-encoding")

Reply = tuple[int, list[tuple[str, str]], bytes]


class Hits:
    """Answers plain requests for lists that Redis holds."""

    def __init__(
        self,
        settings: Settings,
        lists: ListReader,
        ids: AnswerIds,
        callers: Callers,
        access: Access,
        breaker: Breaker,
        connection: Pipelined,
    ) -> None:
        self._limit, self._stale_hours = settings.reader.rate_limit, settings.reader.stale_hours
        self._lists, self._ids, self._callers, self._access = lists, ids, callers, access
        self._breaker, self._redis = breaker, connection

    def close(self) -> None:
        self._redis.close()

    async def answer(self, scope: Any, path: str) -> Reply | Asked | None:
        """Return status, headers and data. Otherwise return, for Flask, the answer of Redis if it was asked.

        scope: the scope of RSGI. path: its decoded path.
        """
        started = time.perf_counter()
        before, _, owner = path.rpartition("/")
        kind, held, headers = _KINDS.get(before), self._lists.releases.current, scope.headers
        if kind is None or held is None or self._breaker.down or not is_id(owner) or not _is_plain(scope, path):
            return None
        keys, tags = headers.get_all(HEADER), headers.get_all("If-None-Match")
        if len(keys) > 1 or len(tags) > 1:
            return None
        try:
            query, caller = query_of(scope.query_string), self._callers.reader(keys[0] if keys else "")
        except RequestError:
            return None
        owner = owner.lower()
        if self._lists.hidden.erased((owner,)):
            return None
        try:
            found, count = await self._redis.hit(caller, held.id, kind, owner)
        except TimeoutError as error:
            self._breaker.failed(error)
            return None
        except (redis.RedisError, OSError):
            return None
        asked = Asked(held, found, count)
        answer = self._lists.hit(kind, owner, asked) if self._limit == 0 or count <= self._limit else None
        if answer is None:
            return asked
        text = body(answer, query, self._stale_hours, self._ids)
        status, reply_headers, data = list_reply(text, answer, tags[0] if tags else None)
        self._access.record("one", status, time.perf_counter() - started, caller, (answer,))
        if status != 304:
            reply_headers.append(("Content-Length", str(len(data))))
        return status, [*reply_headers, *SECURITY], data


def _is_plain(scope: Any, path: str) -> bool:
    """Return whether it is a GET without a body and of a permitted length."""
    return (
        scope.method == "GET"
        and not any(name in scope.headers for name in _BODY)
        and len(path) + len(scope.query_string) <= URL_MOST
    )
