"""Make a small planted marketplace: three taste groups, the same at every cutoff."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd

from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from tests.marketplace.small import small_settings

GROUPS = ("games", "biotech", "fintech")
AS_OF = "2024-03-01T00:00:00+00:00"
_SPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


def ids(kind: str, n: int) -> list[str]:
    """Return n ids, the same every time."""
    return [str(uuid.uuid5(_SPACE, f"{kind} {i}")) for i in range(n)]


def rows(
    people: int = 120,
    startups: int = 150,
    events: int = 4200,
    kinds: tuple[str, ...] = ("view", "like", "apply", "interest"),
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Make users, startups, interactions. Nine in ten events stay in the group, its first startups are popular."""
    rng = np.random.default_rng(0)
    user, startup = ids("user", people), ids("startup", startups)
    taste, theme = np.arange(people) % 3, np.arange(startups) % 3
    users = pd.DataFrame(
        {
            "user_id": user,
            "role": np.where(np.arange(people) % 2, "investor", "developer"),
            "created_at": "2023-01-01",
            "interests": [GROUPS[t] for t in taste],
            "opted_out_at": ["2023-06-01" if i == 5 else "" for i in range(people)],
        }
    )
    companies = pd.DataFrame(
        {
            "startup_id": startup,
            "name": [f"Startup {i}" for i in range(startups)],
            "category": [GROUPS[t] for t in theme],
            "field": "software",
            "type": np.where(np.arange(startups) % 4, "b2b", "b2c"),
            "created_at": [f"2023-{1 + i % 12:02d}-01" for i in range(startups)],
        }
    )
    who = rng.integers(0, people, events)
    within = np.minimum(rng.exponential(startups / 8, events), startups / 3 - 1).astype(int) * 3
    what = within + np.where(rng.random(events) < 0.9, taste[who], rng.integers(0, 3, events))
    later = pd.to_timedelta(np.sort(rng.random(events)) * 59 * 86_400, unit="s").round("s")
    when = (pd.Timestamp("2024-01-01", tz="UTC") + later).strftime("%Y-%m-%dT%H:%M:%SZ")
    interactions = pd.DataFrame(
        {
            "user_id": np.array(user)[who],
            "startup_id": np.array(startup)[what],
            "interaction_type": rng.choice(kinds, events),
            "occurred_at": when,
        }
    )
    return users, companies, interactions.drop_duplicates()


def small(**changed: Any) -> Settings:
    """Return small settings for this market, with these changes."""
    mine = {
        "als_factors": 8,
        "als_iterations": 5,
        "depth": 20,
        "threads": 1,
        "train_threads": 1,
        "blend": "weighted",
        "ranker_cuts": 4,
        "ranker_epochs": 8,
        "ranker_min_positives": 100,
    }
    return small_settings(**{**mine, **changed})


def market(settings: Settings | None = None, **changed: Any) -> Snapshot:
    """Return the market as a snapshot. Another market has another name, because past cutoffs are kept by name."""
    name = "-".join(["memory", *map(str, changed.values())])
    return Snapshot.from_frames(*rows(**changed), AS_OF, (settings or small()).recorded(), name)
