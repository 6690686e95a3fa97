"""Write into Redis what the pipelines keep there for the console, and read the words of its pages."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import redis

from models.lists.redis_format import Keys
from models.schema import Surface
from models.settings.settings import Settings


def number(value: float) -> dict[str, float]:
    """Return a value with an interval, under both names that figures use."""
    return {"mean": value, "value": value, "low": value - 0.01, "high": value + 0.01}


def build(release: str, day: int, **more: Any) -> dict[str, Any]:
    """Return a build's summary as pipelines/report/summary.py makes it."""
    at = f"2020-04-{day:02d}T00:00:00+00:00"
    quality = {"served": number(round(0.4 + day / 1000, 3)), "popular": number(0.1)}
    return {
        "release": release,
        "run": f"run-{day}",
        "as_of": at,
        "generated_at": at,
        "kind": "scheduled",
        "verdict": "go",
        "reasons": ["no check failed"],
        "answer": None,
        "champion": None,
        "against": {Surface.STARTUPS_FOR_INVESTOR.value: number(0.02)},
        "quality": {s.value: quality for s in Surface},
        "steps": [{"step": "train.als", "index": None, "wall_s": 4.0, "at": at}],
        **more,
    }


def group(name: str, **more: Any) -> dict[str, Any]:
    rates = {"click_through": number(0.2), "conversion": number(0.05)}
    return {"name": name, "impressions": 1000, "owners": 50, **rates, **more}


def engagement() -> dict[str, Any]:
    """Return the part of earnings.json that the overview reads."""
    by: dict[str, Any] = {"day": [group("2020-04-09"), group("2020-04-10")], "method": [group("als")]}
    arm = group("depth/long", experiment="depth", edition="e1", arm="long")
    return {
        "made_at": "2020-04-11T00:00:00+00:00",
        "window_days": 28.0,
        "all": group("all"),
        "by": by | {"arm": [arm]},
        "experiments": [],
    }


def keep(settings: Settings, *builds: dict[str, Any], **values: Any) -> None:
    """Store summaries of builds, and other values by the name of their key: `earnings`, `doctor`."""
    keys = Keys(settings.namespace)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        for one in builds:
            client.hset(keys.builds, one["release"], json.dumps(one))
        for name, value in values.items():
            client.set(getattr(keys, name), json.dumps(value))


def words(page: str) -> str:
    """Return the text of a page without markup, with single blanks."""
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", page).split()))
