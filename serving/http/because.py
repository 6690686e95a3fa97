"""Make the public body of "because you engaged with X" (docs/reference/api.md)."""

from __future__ import annotations

import json

from flask import Response
from werkzeug.datastructures import MultiDict

from serving.because import Rows
from serving.http.answer_ids import AnswerIds
from serving.http.present import body
from serving.http.requests import Query, number
from serving.releases import instant

ROWS_DEFAULT, ROWS_MOST = 3, 10


def read_rows(given: MultiDict[str, str]) -> int:
    """Read the number of rows that a request wants. Raises RequestError."""
    return number(given, "rows", ROWS_DEFAULT, 1, ROWS_MOST)


def because_response(found: Rows, query: Query, stale_hours: float, ids: AnswerIds) -> Response:
    """Return `{"because": [{"id", "type", "at", "list"}], "release", "degraded", "reason"}`."""
    rows = ",".join(
        f'{{"id":"{row.item}","type":"{row.kind}","at":"{instant(row.at_us)}",'
        f'"list":{body(row.answer, query, stale_hours, ids)}}}'
        for row in found.rows
    )
    told = {
        "release": found.held.id,
        "degraded": bool(found.trouble) or any(row.answer.trouble for row in found.rows),
        "reason": found.reason or None,
    }
    return Response(f'{{"because":[{rows}],{json.dumps(told)[1:]}', mimetype="application/json")
