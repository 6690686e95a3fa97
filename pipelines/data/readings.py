"""Readings of the platform's running counters, kept by every export for later cutoffs.

docs/decisions/view-readings.md says why."""

from __future__ import annotations

from sqlalchemy import Engine, text

import sql
from pipelines.postgres import transaction

#: Readings of one startup at most: a counter that grows needs 25 for each tenfold.
MOST = 300
#: For so long the readings of a startup stay that the platform has no more.
GONE_DAYS = 400
_FOLDER = "readings"


def keep_readings(engine: Engine) -> int:
    """Read every startup's counter now and keep what moved; returns how many readings were kept."""
    with transaction(engine) as connection:
        connection.execute(text(sql.load("forget_gone", _FOLDER)), {"days": GONE_DAYS})
        return connection.execute(text(sql.load("keep", _FOLDER)), {"most": MOST}).rowcount
