"""The ledger: one row of what an owner was shown in answers of one kind on one day, with what came of it."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from models.settings import Settings
from pipelines.postgres import copy_out, engine, rows

#: What an answer is grouped by.
KINDS = ("surface", "method", "route", "release", "experiment", "edition", "arm", "day")
#: What is counted of each group and owner; see sql/queries/ledger/shown.sql.
COUNTS = (
    "answers",
    "impressions",
    "clicked",
    "applied",
    "converted",
    "liked",
    "disliked",
    "engaged",
    "top",
    "top_engaged",
    "aged",
    "age_days",
)
#: An event with its answer and the platform's own row of the same act need not have the same time.
SAME_ACT = timedelta(minutes=5)


def read_ledger(settings: Settings, since: datetime, as_of: datetime) -> pd.DataFrame:
    """Columns KINDS (text, empty for none), owner (int64, a hash of the id) and COUNTS, in no order.

    Nothing that names anybody leaves the database.
    """
    bound = {
        "since": since,
        "as_of": as_of,
        "attribution_s": int(settings.engagement.attribution_days * 86_400),
        "same_act_s": int(SAME_ACT.total_seconds()),
        "earliest": settings.earliest_at,
    }
    with tempfile.TemporaryFile() as sink:
        copy_out(engine(settings), "ledger/shown", bound, sink)
        sink.seek(0)
        types: dict[str, Any] = dict.fromkeys(KINDS, "category") | {"owner": "int64"} | dict.fromkeys(COUNTS, "float64")
        found = pd.read_csv(sink, dtype=types, keep_default_na=False, na_values={c: [""] for c in COUNTS})
    return found.astype(dict.fromkeys(KINDS, "str"))


def unshown_acts(settings: Settings, since: datetime, as_of: datetime) -> int:
    """Acts that name an answer of which nobody said that it showed the item: they count nowhere, and many of them mean
    that a client forgets its impressions."""
    return int(rows(engine(settings), "ledger/unshown", since=since, as_of=as_of)[0].acts)


def daily_interactions(settings: Settings, since: datetime, as_of: datetime) -> list[dict[str, Any]]:
    """Of each day with any: {day, interactions, people} (J04)."""
    return [
        {"day": r.day.isoformat(), "interactions": r.interactions, "people": r.people}
        for r in rows(engine(settings), "ledger/daily", since=since, as_of=as_of)
    ]
