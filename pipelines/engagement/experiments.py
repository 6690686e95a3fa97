"""Compute rates for groups of the ledger. Compare each arm with the first, and check the sample ratio."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.experiments import Experiment, experiments_of
from models.lists.release import Release
from models.metrics.rates import LEVEL, Rate, difference, mean, rate, unevenness
from models.schema import Method
from models.settings.settings import Settings
from pipelines.postgres import copy_out, engine, rows

#: Columns by which answers are grouped.
KINDS = ("surface", "method", "route", "release", "experiment", "edition", "arm", "day")
#: Counts per group and owner; see sql/queries/ledger/shown.sql.
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
#: Maximum time between an event with an answer id and the platform's own row of the same act.
SAME_ACT = timedelta(minutes=5)


def read_ledger(settings: Settings, since: datetime, as_of: datetime) -> pd.DataFrame:
    """Return columns KINDS (text, empty for none), owner (int64, a hash of the id) and COUNTS, unordered.

    No personal id leaves the database.
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
    """Return the number of events that name an answer without an impression of the item.

    No figure counts them. Many of them mean that a client does not report its impressions.
    """
    return int(rows(engine(settings), "ledger/unshown", since=since, as_of=as_of)[0].acts)


def daily_interactions(settings: Settings, since: datetime, as_of: datetime) -> list[dict[str, Any]]:
    """Return {day, interactions, people} for each day with interactions (J04)."""
    return [
        {"day": r.day.isoformat(), "interactions": r.interactions, "people": r.people}
        for r in rows(engine(settings), "ledger/daily", since=since, as_of=as_of)
    ]


#: Numerator and denominator columns by name. "conversion" is the wide reading of R16 (apply or interest),
#: "application" the narrow one.
RATES = {
    "click_through": (("clicked",), ("impressions",)),
    "conversion": (("converted",), ("impressions",)),
    "application": (("applied",), ("impressions",)),
    "satisfaction": (("liked",), ("liked", "disliked")),
    "feedback": (("liked", "disliked"), ("impressions",)),
    "precision_at_10": (("top_engaged",), ("top",)),
}
#: Groupings of the ledger.
BY = ("method", "route", "surface", "release", "arm", "day")


def by(ledger: pd.DataFrame, kind: str) -> list[dict[str, Any]]:
    """Return the figures of each group, sorted by name. `share` is the group's part of all answers.

    An arm is named `<experiment>/<arm>`, with one group per edition. Owners without an arm are left out.
    """
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
    """Return the figures of some ledger rows: counts, each of RATES with its interval, `age_days` of items (J09)."""
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
    """Return (n,) float64 for each of COUNTS, one value per owner."""
    summed = ledger.groupby("owner", sort=True)[list(COUNTS)].sum()
    return {name: summed[name].to_numpy() for name in COUNTS}


def rate_of(owners: dict[str, NDArray[np.float64]], name: str, level: float = LEVEL) -> Rate:
    """Return the rate `name` (one of RATES) with its interval over owners."""
    hits, trials = (np.add.reduce([owners[c] for c in columns]) for columns in RATES[name])
    return rate(hits, trials, level)


#: Rates for the comparison of arms (O03, J17).
COMPARED = ("click_through", "conversion", "application", "satisfaction", "precision_at_10")
#: The split is broken if the probability of the observed arm sizes is below this.
UNEVEN = 0.001


def editions_of(releases: Iterable[Release]) -> dict[tuple[str, str], Experiment]:
    """Return the experiments of the releases by (name, edition); the newest cutoff wins."""
    ordered = sorted(releases, key=lambda r: r.as_of)
    return {(e.name, e.edition): e for r in ordered for e in experiments_of(r.experiments)}


def experiments(ledger: pd.DataFrame, known: Mapping[tuple[str, str], Experiment]) -> list[dict[str, Any]]:
    """Return days, arms, sample ratio and differences of each experiment and edition with impressions.

    known: experiments of stored releases. Without one, arms are sorted by name and the sample ratio is unknown.
    """
    groups = ledger[ledger["arm"] != ""].groupby(["experiment", "edition"], sort=True)
    return [
        _experiment(str(name), str(edition), rows, known.get((str(name), str(edition))))
        for (name, edition), rows in groups
    ]


def _experiment(name: str, edition: str, ledger: pd.DataFrame, told: Experiment | None) -> dict[str, Any]:
    arms = [a.name for a in told.arms] if told else sorted(ledger["arm"].unique())
    of_arm = {arm: per_owner(ledger[ledger["arm"] == arm]) for arm in arms}
    days = sorted(ledger["day"].unique())
    seen = np.array([len(of_arm[arm]["answers"]) for arm in arms])
    return {
        "name": name,
        "edition": edition,
        "since": days[0],
        "until": days[-1],
        "days": len(days),
        "surfaces": [s.value for s in told.surfaces] if told else sorted(ledger["surface"].unique()),
        "share": told.share if told else None,
        "arms": [
            {
                "name": arm,
                "owners": int(n),
                "weight": told.arms[i].weight if told else None,
                "settings": dict(told.arms[i].settings) if told else None,
            }
            for i, (arm, n) in enumerate(zip(arms, seen, strict=True))
        ],
        "sample_ratio": _sample_ratio(seen, told),
        "differences": _differences(of_arm, arms),
    }


def _sample_ratio(seen: NDArray[np.int64], told: Experiment | None) -> dict[str, Any]:
    """Test the numbers of owners with impressions against the arms' weights (chi-square)."""
    if told is None:
        return {"p": None, "even": None, "says": "no stored release has the weights of this edition's arms"}
    statistic, p = unevenness(seen, np.array([a.weight for a in told.arms]))
    even = p >= UNEVEN
    says = (
        "the arm sizes match their weights"
        if even
        else (
            "the arm sizes differ from their weights, which happens by chance less than once in a thousand times: "
            "owners of an arm are lost before the measurement; trust no difference until the cause is found"
        )
    )
    return {"chi_square": None if np.isinf(statistic) else round(statistic, 4), "p": p, "even": even, "says": says}


def _differences(of_arm: Mapping[str, dict[str, NDArray[np.float64]]], arms: Sequence[str]) -> list[dict[str, Any]]:
    """Compare each other arm with the first. Bonferroni corrects the level for several comparisons."""
    level = 1 - (1 - LEVEL) / max(1, len(arms) - 1)
    found = []
    for arm in arms[1:]:
        for name in COMPARED:
            mine, first = (rate_of(of_arm[a], name, level) for a in (arm, arms[0]))
            gap = difference(mine, first)
            if gap is None or first.value is None:
                continue
            value, low, high = gap
            found.append(
                {
                    "arm": arm,
                    "against": arms[0],
                    "rate": name,
                    "difference": round(value, 6),
                    "low": round(low, 6),
                    "high": round(high, 6),
                    "level": round(level, 6),
                    "relative": round(value / first.value, 4) if first.value else None,
                    "says": _says(arm, arms[0], name, value, low, high),
                }
            )
    return found


def _says(arm: str, first: str, name: str, value: float, low: float, high: float) -> str:
    words = name.replace("_", " ")
    if low <= 0 <= high:
        return f"{arm} and {first}: no difference in {words} beyond chance ({value:+.4f} [{low:+.4f}, {high:+.4f}])"
    return (
        f"{arm} has the {'higher' if value > 0 else 'lower'} {words} than {first}: "
        f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
    )


_ALS = (Method.ALS.value, Method.ALS_REVERSE.value, Method.ENSEMBLE.value)


def expected(
    ledger: pd.DataFrame,
    by_method: Sequence[Mapping[str, Any]],
    live: Release | None,
    experiments: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return {id, says, value, met} for each expectation; value and met are None without data."""
    rates = {m["name"]: m for m in by_method}
    als, content = (_click_through(rates.get(m)) for m in ("als", "content_based"))
    routed = sum(m["share"] for m in by_method if m["name"] in _ALS) if len(by_method) else None
    converted = _value(_whole(ledger))
    age = _age_change(ledger)
    return [
        _hope("I09", "the ranker raises click-through by 5 to 10%", _ranker_lift(experiments), 0.05),
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
            "says": "the mean age of shown items goes down (days, later half less earlier half of the window)",
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
    """Return 1 if a release is live, because a stored release is always complete."""
    return None if live is None or not sum(live.lists.values()) else 1.0


def _ranker_lift(experiments: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the ranker's relative gain from the newest experiment that compares a ranker with none."""
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
