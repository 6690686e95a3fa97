"""Make values for loops over all settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.settings.declared import Declared
from models.settings.environment import ADDRESSES, Instant, Secret


def another(d: Declared) -> Any:
    """Return a value within the bounds that is not the default."""
    if d.rule.choices:
        return next(c for c in d.rule.choices if c != d.default)
    if d.kind is bool:
        return not d.default
    if d.kind is tuple:
        return (9, 5)
    if d.kind is Instant:
        return Instant("1991-02-03")
    if d.kind in (Secret, str, Path):
        return d.kind(ADDRESSES[d.variable][1].split(",")[0] if d.variable in ADDRESSES else "/somewhere")
    base = 1 if d.default is None else d.default
    step = 1 if d.kind is int else 0.015625
    up = d.kind(base + step)
    return up if d.rule.high is None or up <= d.rule.high else d.kind(base - step)
