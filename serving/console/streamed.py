"""Send a page in two parts: what is known at once, so that a browser paints it, then the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flask import Response, request, stream_template
from markupsafe import Markup

from serving.http.requests import STREAMED

#: Where a template ends its first part.
REST_FOLLOWS = Markup("<!-- the rest follows -->")


class Panels(dict[str, Any]):
    """Panels by name. later: those that are gathered at their first use."""

    def __init__(self, now: Mapping[str, Any], later: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__(now)
        self._later = later

    def gather(self) -> None:
        """Gather all now, so that an error of one still decides the status of the page."""
        for name in self._later:
            self[name]

    def __missing__(self, name: str) -> Any:
        found = self[name] = self._later[name]()
        return found


def streamed(template: str, **context: Any) -> Response:
    """Answer with a page whose template has REST_FOLLOWS. An error in the second part ends the page early."""
    request.environ[STREAMED] = True
    return Response(_parts(stream_template(template, **context)), mimetype="text/html")


def _parts(pieces: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for piece in pieces:
        held.append(piece)
        if REST_FOLLOWS in piece:
            yield "".join(held)
            held.clear()
    yield "".join(held)
