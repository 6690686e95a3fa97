"""Plant leaks: a platform overwrites rows, so that blank values reveal the future.

In `folded`, views are a counter of each startup, not events: ten times the views of logged-in users. Every event
includes a view, so the platform last wrote the counter at the startup's last event. A rule that accepts only counters
written before the validation split then accepts only startups without later events.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

TIMES = 10


def folded(startups: pd.DataFrame, interactions: pd.DataFrame, as_of: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the startups with `views` and `updated_at` at an instant, and the events except views."""
    seen = _views(interactions, as_of).groupby("startup_id").occurred_at.agg(["size", "max"])
    seen = seen.reindex(startups.startup_id)
    views = (seen["size"].fillna(0).astype(int) * TIMES).astype(str)
    updated = seen["max"].fillna("2023-01-01T00:00:00Z")
    return (
        startups.assign(views=views.to_numpy(), updated_at=updated.to_numpy()),
        interactions[interactions.interaction_type != "view"],
    )


def readings(interactions: pd.DataFrame, since: str, as_of: str, days: int = 3) -> pd.DataFrame:
    """Return the counters that an export every few days would have read: startup_id, read_at, views."""
    parts = [pd.DataFrame({"startup_id": [], "read_at": [], "views": []})]
    for at in pd.date_range(pd.Timestamp(since, tz="UTC"), pd.Timestamp(as_of), freq=f"{days}D", inclusive="left"):
        instant = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        seen = _views(interactions, instant).groupby("startup_id").size() * TIMES
        ids = sorted(interactions.startup_id.unique())
        parts.append(pd.DataFrame({"startup_id": ids, "read_at": instant, "views": seen.reindex(ids).fillna(0)}))
    return pd.concat(parts).astype({"views": np.int64})


def _views(interactions: pd.DataFrame, before: str) -> pd.DataFrame:
    """Count a view for every event. occurred_at is text of one format, which sorts by time."""
    return interactions[interactions.occurred_at < before]
