"""What was posted long ago and serves nobody any more, deleted: so that strangers cannot fill the database.

Nothing that bars two known ones from each other, or that teaches, is ever deleted by age.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

import sql
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.data.snapshot import read_manifest
from pipelines.postgres import engine, rows, transaction

log = logging.getLogger(__name__)
#: Longer than any figure of answers looks back ([engagement] window_days and [engagement] attribution_days, at most).
SHOWN_DAYS = 460
_FOLDER = "retention"


def prune_posted(settings: Settings, now: datetime | None = None) -> dict[str, int]:
    """Delete by age, in one transaction; returns how many rows of what, where any.

    Strangers stay as long as the platform's views hold fewer people or startups than they should: then it is not known
    who is a stranger. Raises ServiceError, ContractError.
    """
    now = now or datetime.now(UTC)  # noqa: TID251 - the age of what was posted, whatever a build knows
    before = {
        "strangers_before": now - timedelta(days=settings.events.strangers_days),
        "shown_before": now - timedelta(days=SHOWN_DAYS),
    }
    names = (
        ["impressions", "answers", "set_aside"]
        if _views_lack(settings)
        else ["strangers", "impressions", "answers", "set_aside"]
    )
    with transaction(engine(settings)) as connection:
        gone = {name: int(connection.execute(text(sql.load(name, _FOLDER)), before).rowcount) for name in names}
    log.info("posted long ago and deleted: %s", gone)
    return {name: n for name, n in gone.items() if n}


def _views_lack(settings: Settings) -> bool:
    """Whether the views hold so much less than the newest snapshot that a build would stop."""
    stored = Artifacts(settings).stored("snapshots")
    if not stored:
        return False
    there, counts = rows(engine(settings), "doctor/sizes")[0], read_manifest(stored[-1])["counts"]
    share = 1 - settings.export.missing_share
    lack = there.users < share * counts["users"] or there.startups < share * counts["startups"]
    if lack:
        log.warning(
            "events of strangers stay: the platform has %d people and %d startups, snapshot %s %d and %d",
            there.users,
            there.startups,
            stored[-1].name,
            counts["users"],
            counts["startups"],
        )
    return lack
