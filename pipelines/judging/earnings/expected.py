"""What the platform hopes that its lists earn (I09-I13, I21), beside what was measured: hopes, not limits (R18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from models.metrics.rates import mean
from models.nouns.release import Release
from models.schema import Method
from pipelines.judging.earnings.figures import per_owner

_ALS = (Method.ALS.value, Method.ALS_REVERSE.value, Method.ENSEMBLE.value)


def expected(
    ledger: pd.DataFrame,
    by_method: Sequence[Mapping[str, Any]],
    live: Release | None,
    experiments: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Of each hope {id, says, value, met}; value and met are None where nothing was measured."""
    rates = {m["name"]: m for m in by_method}
    als, content = (_click_through(rates.get(m)) for m in ("als", "content_based"))
    routed = sum(m["share"] for m in by_method if m["name"] in _ALS) if len(by_method) else None
    converted = _value(_whole(ledger))
    age = _age_change(ledger)
    return [
        _hope("I09", "the ranker brings 5 to 10% more click-through", _ranker_lift(experiments), 0.05),
        _hope(
            "I10",
            "ALS has 2 to 3 times the click-through of content-based",
            als / content if als and content else None,
            2.0,
        ),
        _hope("I11", "more than 60% of answers use an ALS model", routed, 0.6),
        _hope("I12", "every owner has a list", _listed(live), 1.0),
        _hope("I13", "conversion from recommendations above 10%", converted, 0.1),
        {
            "id": "I21",
            "says": "the mean age of what is shown goes down (days, later half less earlier half of the window)",
            "value": age,
            "met": None if age is None else age < 0,
        },
    ]


def _hope(name: str, says: str, value: float | None, least: float) -> dict[str, Any]:
    met = None if value is None else value >= least
    return {"id": name, "says": says, "value": None if value is None else round(value, 6), "met": met}


def _click_through(figures: Mapping[str, Any] | None) -> float | None:
    return None if figures is None else figures["click_through"]["value"]


def _whole(ledger: pd.DataFrame) -> tuple[float, float]:
    return float(ledger["converted"].sum()), float(ledger["impressions"].sum())


def _value(counted: tuple[float, float]) -> float | None:
    hits, trials = counted
    return hits / trials if trials else None


def _listed(live: Release | None) -> float | None:
    """A release is only ever stored whole (an owner without a list stops it), so a live one has all."""
    return None if live is None or not sum(live.lists.values()) else 1.0


def _ranker_lift(experiments: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the newest experiment that compares the ranker with none: how much more it brings, relative."""
    for e in reversed(experiments):
        off = [a["name"] for a in e["arms"] if (a["settings"] or {}).get("ranker") == "off"]
        for d in e["differences"]:
            told = d["rate"] == "click_through" and d["relative"] is not None
            if told and (d["arm"] in off) != (d["against"] in off):
                lift = float(d["relative"])
                return lift if d["against"] in off else 1 / (1 + lift) - 1 if lift > -1 else None
    return None


def _age_change(ledger: pd.DataFrame) -> float | None:
    days = sorted(ledger["day"].unique())
    if len(days) < 2:
        return None
    late = ledger["day"].isin(days[len(days) // 2 :])
    ages = [mean(o["age_days"], o["aged"]).value for o in (per_owner(ledger[late]), per_owner(ledger[~late]))]
    return None if ages[0] is None or ages[1] is None else round(ages[0] - ages[1], 6)
