"""Ask the source of one panel of a page. A source that is down costs its panel, not the page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.errors import MatchbookError, RequestError

log = logging.getLogger("matchbook.reader")


@dataclass(frozen=True)
class Panel:
    """What a panel shows. trouble: why it shows nothing, empty if the source answered."""

    found: Any = None
    trouble: str = ""

    def __bool__(self) -> bool:
        return not self.trouble and bool(self.found)


def asked(question: Callable[[], Any]) -> Panel:
    """Return the answer of a source, or its trouble. Raises RequestError if the page was asked for wrongly (400)."""
    try:
        return Panel(question())
    except MatchbookError as error:
        if isinstance(error, RequestError) and error.status == RequestError.status:
            raise
        log.warning("a panel of the console is empty: %s", error)
        return Panel(trouble=str(error))
    except (LookupError, TypeError, ValueError) as error:
        log.warning("a panel of the console is empty: %s: %s", type(error).__name__, error)
        return Panel(trouble="what is stored has another form: another version wrote it; the next hourly run renews it")
