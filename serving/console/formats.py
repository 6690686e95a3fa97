"""Format values for the pages: ages, counts, shares, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as "3 h 12 min" or "1 min 52 s"."""
    left, parts = round(seconds), list[str]()
    for name, unit in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, unit)
        if (number and len(parts) < 2) or (name == "s" and not parts):
            parts.append(f"{number} {name}")
        elif parts:
            break
    return " ".join(parts)


def age(at: str) -> str:
    """Return the time since an ISO 8601 instant."""
    return duration(max(0.0, (datetime.now(UTC) - instant(at)).total_seconds()))


def gap(at: str, other: str) -> str:
    """Return the time between two ISO 8601 instants."""
    return duration(abs((instant(at) - instant(other)).total_seconds()))


def passed(at: str) -> bool:
    """Return whether an ISO 8601 instant is not in the future."""
    return instant(at) <= datetime.now(UTC)


def when(at: str) -> str:
    """Return an ISO 8601 instant as "2026-05-01 02:00 UTC"."""
    return f"{instant(at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(at: str) -> str:
    """Return an ISO 8601 instant as "2026-05-01 02:00", or a day alone as it is."""
    return at if len(at) == 10 else f"{instant(at).astimezone(UTC):%Y-%m-%d %H:%M}"


def count(number: float | None) -> str:
    """Return a count with thin spaces between thousands."""
    return "–" if number is None else f"{number:,.0f}".replace(",", "\u202f")


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"


def decimal(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def took(build: Mapping[str, Any]) -> float:
    """Return the seconds from the start of a build's first step to the end of its last."""
    ends = [instant(s["at"]).timestamp() for s in build["steps"]]
    return max(ends) - min(end - s["wall_s"] for end, s in zip(ends, build["steps"], strict=True))


def rankers(kinds: Sequence[str]) -> str:
    """Return one ranker, or several whose mean ranks, in words."""
    return f"the {kinds[0]} ranker" if len(kinds) == 1 else f"the mean of the {' and the '.join(kinds)} ranker"


def instant(text: str) -> datetime:
    """Return an ISO 8601 instant; without a zone it is in UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


#: Filters of the templates, by name.
FILTERS: dict[str, Any] = {
    f.__name__: f for f in (duration, age, passed, when, day, took, count, percent, milliseconds, decimal, rankers)
}
