"""Rates and means of groups of the ledger (C55-C57, J05-J10), owners as units."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.rates import LEVEL, Rate, mean, rate
from models.settings.settings import Settings
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


#: By name: of what, over what. "conversion" is R16's wide reading (apply or interest), "application" its narrow one.
RATES = {
    "click_through": (("clicked",), ("impressions",)),
    "conversion": (("converted",), ("impressions",)),
    "application": (("applied",), ("impressions",)),
    "satisfaction": (("liked",), ("liked", "disliked")),
    "feedback": (("liked", "disliked"), ("impressions",)),
    "precision_at_10": (("top_engaged",), ("top",)),
}
#: What the ledger can be taken apart by.
BY = ("method", "route", "surface", "release", "arm", "day")


def by(ledger: pd.DataFrame, kind: str) -> list[dict[str, Any]]:
    """The figures of each group, in the order of its name; `share` is its part of all answers. Arms have the names
    `<experiment>/<arm>`, and an experiment that was changed stands there once an edition; who has none is left out."""
    whole = ledger["answers"].sum()
    if kind == "arm":
        ledger = ledger[ledger["arm"] != ""]
        groups = ledger.groupby(["experiment", "edition", "arm"], sort=True)
        return [
            {"name": f"{e}/{arm}", "experiment": e, "edition": edition, "arm": arm, **figures(g, whole)}
            for (e, edition, arm), g in groups
        ]
    return [{"name": name, **figures(g, whole)} for name, g in ledger.groupby(kind, sort=True)]


def figures(ledger: pd.DataFrame, whole: float) -> dict[str, Any]:
    """Of some rows of the ledger: counts, every rate of RATES with its interval, `age_days` of what was shown (J09)."""
    owners = per_owner(ledger)
    counted = {name: int(sum(owners[name])) for name in ("answers", "impressions", "clicked", "applied", "converted")}
    told = {name: rate_of(owners, name).as_json() for name in RATES}
    return {
        "owners": len(owners["answers"]),
        **counted,
        "share": round(float(counted["answers"] / max(whole, 1)), 6),
        **told,
        "age_days": mean(owners["age_days"], owners["aged"]).as_json(),
    }


def per_owner(ledger: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """By the names of COUNTS (n,) float64 of each owner."""
    summed = ledger.groupby("owner", sort=True)[list(COUNTS)].sum()
    return {name: summed[name].to_numpy() for name in COUNTS}


def rate_of(owners: dict[str, NDArray[np.float64]], name: str, level: float = LEVEL) -> Rate:
    """One of RATES over the counts of owners."""
    hits, trials = (np.add.reduce([owners[c] for c in columns]) for columns in RATES[name])
    return rate(hits, trials, level)
