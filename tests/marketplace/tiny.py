"""Write a marketplace for fast builds: 36 users and 15 startups in three fields, as a data folder."""

from __future__ import annotations

import csv
import random
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

STARTS = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 120
NEWEST = STARTS + timedelta(days=DAYS) - timedelta(hours=1)  # 2024-04-29T23:00:00Z
AFTER_ALL = NEWEST + timedelta(seconds=1)
FIELDS = (("Gaming", "unity", "pixel"), ("Health", "genomics", "lab"), ("Finance", "ledger", "credit"))
KINDS = ("view", "view", "click", "like", "favorite", "apply", "interest", "dislike")
_NAMES = uuid.UUID("7f9c24e8-3b3c-4f0d-9d0b-1a1f5a5e6c11")


def identity(kind: str, number: int) -> str:
    """Return the id of the n-th "user" or "startup"."""
    return str(uuid.uuid5(_NAMES, f"{kind} {number}"))


def write_tiny_marketplace(folder: Path) -> Path:
    """Write users.csv, startups.csv and interactions.csv, always with the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    users = [_user(n) for n in range(36)]
    startups = [_startup(n) for n in range(15)]
    for name, rows in (("users", users), ("startups", startups), ("interactions", _events())):
        with (folder / f"{name}.csv").open("w", newline="") as sink:
            table = csv.DictWriter(sink, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    return folder


def _user(n: int) -> dict[str, str]:
    field, word, other = FIELDS[n % 3]
    return {
        "user_id": identity("user", n),
        "role": "investor" if n % 4 == 0 else "developer",
        "created_at": "2023-12-01T00:00:00Z",
        "name": f"Person {n}",
        "headline": f"{field} {word}",
        "skills": word,
        "interests": f"{field};{other}",
        "location": "London" if n % 2 else "Basel",
        "source_id": str(n),
    }


def _startup(n: int) -> dict[str, str]:
    field, word, other = FIELDS[n % 3]
    return {
        "startup_id": identity("startup", n),
        "name": f"Startup {n}",
        "description": f"{word} and {other}",
        "category": field,
        "field": word,
        "type": "b2b" if n % 2 else "b2c",
        "tags": f"{word};{other}",
        "stage": "seed",
        "location": "London" if n % 2 else "Basel",
        "founder_id": "",
        "created_at": "2023-12-15T00:00:00Z",
        "views": "0",
        "created_at_source": "",
        "source_id": str(n),
    }


def _events() -> list[dict[str, str]]:
    """Return events, mostly in the user's field. The first six users have none, the last event is at NEWEST."""
    draw = random.Random(20240101)
    found = []
    for user in range(6, 36):
        for _ in range(3 + user % 24):
            startup = draw.randrange(5) * 3 + user % 3 if draw.random() < 0.85 else draw.randrange(15)
            at = STARTS + timedelta(seconds=draw.randrange(DAYS * 86_400 - 7200))
            found.append((at, user, startup, draw.choice(KINDS)))
    found.append((NEWEST, 35, 2, "like"))
    return [
        {
            "user_id": identity("user", u),
            "startup_id": identity("startup", s),
            "interaction_type": kind,
            "occurred_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for at, u, s, kind in sorted(found)
    ]
