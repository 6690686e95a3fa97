"""Samples of the learned ranker by hand."""

from __future__ import annotations

import numpy as np

from models.schema import EventType
from models.settings.settings import Settings
from pipelines.train.objective import MEET, gains_of
from pipelines.train_ranker.samples import PairEvents

#: Every new pair counts.
MEETINGS = gains_of(MEET, Settings())


def events_at(met_us: np.ndarray, kind: EventType = EventType.INTEREST) -> PairEvents:
    """Return one event of each row that was met."""
    row = np.flatnonzero(met_us)
    return PairEvents(row, met_us[row], np.full(len(row), kind.code, np.int8))
