"""Declare the error codes of the API by status. docs/reference/api.md has them as a table."""

from __future__ import annotations

from serving.http.requests import BODY_MOST, BODY_S, URL_MOST, VALUES_MOST

#: By status: code -> what is wrong. The codes of the console's pages are not here: a page shows none.
CODES: dict[int, dict[str, str]] = {
    400: {
        "malformed_id": "an id is no UUID",
        "malformed_limit": "",
        "malformed_offset": "",
        "malformed_rows": "",
        "malformed_exclude": "a query parameter is out of its range",
        "malformed_q": "the searched word is too short or too long",
        "malformed_release": "no release is named",
        "unknown_release": "the named release is not in Redis, or is the live one",
        "malformed_body": "the body is not JSON, or has too few or too many values",
        "malformed_event": "an event has a malformed field",
        "too_many_values": f"the URL has over {VALUES_MOST} query values",
        "bad_request": "the request cannot be read",
    },
    401: {
        "no_keys": "",
        "key_missing": "",
        "key_unknown": "",
        "key_expired": "no API key was made, sent or found, or it expired",
    },
    403: {"scope_missing": "the key lacks the scope", "event_not_allowed": "the key may not post this event"},
    404: {"not_found": "the path is no route"},
    405: {"method_not_allowed": "the route has other methods; `Allow` names them"},
    408: {"body_too_slow": f"the body took over {BODY_S:g} seconds"},
    413: {"body_too_large": f"the body has over {BODY_MOST // 1024} KiB"},
    414: {"url_too_long": f"the URL has over {URL_MOST:,} characters"},
    429: {"too_many_requests": "[rate limit](#rate-limit)", "too_many_events": "[limits of events](#events)"},
    500: {"internal": "a defect; see the reader's log"},
    503: {
        "events_not_taken": "Redis does not take events",
        "events_full": "too many events wait",
        "no_release": "before the first release",
        "unavailable": "a server does not answer a question about single lists",
    },
}
