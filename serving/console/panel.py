"""Ask the source of one panel of a page. A source that is down costs its panel, not the page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.errors import MatchbookError

log = logging.getLogger("matchbook.reader")


@dataclass(frozen=True)
class Panel:
    """What a panel shows. trouble: why it shows nothing, empty if the source answered."""

    found: Any = None
    trouble: str = ""

    def __bool__(self) -> bool:
        return not self.trouble and bool(self.found)


def asked(question: Callable[[], Any]) -> Panel:
    """Return the answer of a source, or its trouble."""
    try:
        return Panel(question())
    except MatchbookError as error:
        log.warning("a panel of the console is empty: %s", error)
        return Panel(trouble=str(error))
