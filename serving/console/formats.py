"""Format values for the pages: ages, counts, shares, intervals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as "3 h 12 min"."""
    whole = int(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min"
    if whole < DAY_S:
        minutes = whole % HOUR_S // MINUTE_S
        return f"{whole // HOUR_S} h" + (f" {minutes} min" if minutes else "")
    hours = whole % DAY_S // HOUR_S
    return f"{whole // DAY_S} d" + (f" {hours} h" if hours else "")


def age(instant: str) -> str:
    """Return the time since an ISO 8601 instant."""
    return duration(max(0.0, (datetime.now(UTC) - _parsed(instant)).total_seconds()))


def when(instant: str) -> str:
    """Return an ISO 8601 instant as "2026-05-01 02:00 UTC"."""
    return f"{_parsed(instant).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def count(number: float | None) -> str:
    """Return a count with thin spaces between thousands."""
    return "–" if number is None else f"{number:,.0f}".replace(",", "\u202f")


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"


def decimal(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _parsed(instant: str) -> datetime:
    found = datetime.fromisoformat(instant)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


#: Filters of the templates, by name.
FILTERS: dict[str, Any] = {f.__name__: f for f in (duration, age, when, count, percent, milliseconds, decimal)}
