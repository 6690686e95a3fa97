"""What counts as success: the gain of each event type, and the objective that decides on a surface (C41, C42)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.interactions import EVENT_WEIGHTS
from models.schema import INTERACTION_TYPES, EventType
from models.settings.settings import Settings

#: engage: the gains of [objective]. apply: of these only apply and interest. click: clicks count too. meet: any event.
ENGAGE, APPLY, CLICK, MEET = "engage", "apply", "click", "meet"
#: Objectives that the report shows side by side.
REPORTED = (ENGAGE, APPLY, MEET)
#: Objectives that may decide, the strongest evidence first.
DECIDING = (ENGAGE, CLICK, MEET)
#: With fewer new pairs after the validation split, the next weaker objective decides.
ENOUGH = 100
_STRONG = (EventType.APPLY, EventType.INTEREST)


def gains_of(objective: str, settings: Settings) -> NDArray[np.float32]:
    """Return (EventType.codes(),) gain of each event type, by code. 0: it is no success.

    A type that counts only under a weaker objective has its weight in training as gain.
    """
    gains = np.zeros(EventType.codes(), np.float32)
    for kind in INTERACTION_TYPES:
        gains[kind.code] = getattr(settings.objective, kind.value, 0.0)
    if objective == APPLY:
        strong = np.isin(np.arange(len(gains)), [kind.code for kind in _STRONG])
        return np.where(strong, gains, np.float32(0))
    if objective in (CLICK, MEET):
        weaker = np.maximum(gains, EVENT_WEIGHTS)
        weaker[EventType.VIEW.code] = weaker[EventType.VIEW.code] if objective == MEET else gains[EventType.VIEW.code]
        return weaker
    return gains


def graded(kinds: NDArray[np.integer[Any]], gains: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest gain among the event types of each value. kinds: one bit per `EventType.code`."""
    table = np.zeros(1 << len(gains), np.float32)
    for code, gain in enumerate(gains.tolist()):
        there = (np.arange(len(table)) >> code & 1) > 0
        table[there] = np.maximum(table[there], gain)
    return np.asarray(table[kinds])


@dataclass(frozen=True)
class Objective:
    """The objective that decides on a surface, and its gains. pairs: new pairs after the split, by objective."""

    name: str
    gains: NDArray[np.float32]
    pairs: Mapping[str, int]

    @classmethod
    def of_pairs(cls, pairs: Mapping[str, int], settings: Settings) -> Objective:
        """Choose the strongest objective with enough pairs, else the weakest."""
        name = next((n for n in DECIDING if pairs[n] >= ENOUGH), DECIDING[-1])
        return cls(name, gains_of(name, settings), pairs)

    def as_json(self) -> dict[str, Any]:
        return {"decides": self.name, "pairs": dict(self.pairs)}
