"""Check the quality of lists: the ensemble against its best member (P05), founders (P06), the ranker (P08)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from models import als, learned_ranker, mlp_ranker
from models.als import ALS, ALS_REVERSE
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.lists.release import Release, release_lists
from models.schema import Entity, Surface
from models.two_tower import TWO_TOWER
from pipelines.doctor.diagnosis import Diagnosis, SystemState, answered, unknown
from pipelines.postgres import newest_event
from pipelines.report.figure_names import POPULAR, RANKED, RANKED_BY, ROUTE, RULES, SERVED, ranks
from pipelines.run.run import parse_instant

_BLEND = (
    "leave [ensemble] blend = 'auto' and name no weights, so that every build takes the better one on the "
    "validation split; tune the weaker member (`python -m pipelines tune --models …`), or shift [ensemble] profile to "
    "the stronger one; where candidates hardly overlap raise [lists] candidate_multiplier to 3 (C19); "
    "ENABLE_ENSEMBLE=false if one member alone is best"
)
_FOUNDERS = (
    "collect more events (views, likes and applications of many users); retrain at least weekly; send "
    "startups to reverse ALS with fewer people (COLD_START_THRESHOLD=3)"
)
_RANKER = (
    "wait for more positives ([ranker] min_positives says how many); against imbalance "
    "[ranker] negatives = 2; against overfitting fewer [ranker] epochs or a lower "
    "[ranker] learning_rate; until a ranker passes, the rules rank"
)
#: Limits of the requirements for founders: events in total, and age of models (004 L210-223).
_EVENTS, _STALE_DAYS = 1000, 7.0
_WEAK = 0.5  # a member with less than this share of the other's NDCG lowers the blend


def ensemble_below(patient: SystemState) -> Diagnosis:
    """Check P05: the ensemble against its best member."""
    title = "The ensemble is worse than its best member"
    claims = {s: c for s, told in patient.surfaces.items() if (c := (told.get("claims") or {}).get("ensemble"))}
    if not claims:
        return unknown("P05", title, "no build has measured the ensemble over hot owners yet", _BLEND)
    below = [s for s, c in claims.items() if (c["difference"].get("high") or 0.0) < 0]
    release = patient.release
    figures = {
        s: {
            "owners": c["owners"],
            "ndcg": c["ndcg"],
            "difference": c["difference"],
            "weak_member": _weak(c["ndcg"]),
            "overlap": _overlap(patient, release, s),
        }
        for s, c in claims.items()
    }
    blend = (patient.report.get("evaluation") or {}).get("blend") or {}
    told = "; ".join(
        f"{s}: {c['difference']['mean']:+.4f} NDCG@10 against {c['best_member']}, {c['owners']} owners"
        for s, c in claims.items()
    )
    says = f"{told}; blend {blend.get('blend', 'unknown')}" + ("" if below else ", nowhere clearly below")
    return answered("P05", title, bool(below), says, _BLEND, {"surfaces": figures, "blend": blend})


def founder_lists(patient: SystemState) -> Diagnosis:
    """Check P06: the lists of founders."""
    title = "Poor lists for founders"
    catalogue, reverse = patient.opened(CATALOGUE), patient.opened(als.REVERSE.bundle)
    if catalogue is None or not patient.snapshot:
        return unknown("P06", title, "there is no release", _FOUNDERS)
    met = entities_of(catalogue)[Entity.STARTUP].count
    events, newest = int(patient.snapshot["counts"]["interactions"]), _newest(patient)
    age_days = _age_days(newest, reverse.config.get("as_of") if reverse is not None else None)
    worth = {
        s: (told["models"][SERVED]["overall"]["ndcg"], told["models"][POPULAR]["overall"]["ndcg"])
        for s, told in patient.surfaces.items()
        if s.endswith("for-startup") and SERVED in told["models"]
    }
    figures = {
        "interactions": events,
        "users_a_startup_median": float(np.median(met)) if len(met) else 0.0,
        "newest_event": newest.isoformat() if newest else None,
        "reverse_als_age_days": age_days,
        "ndcg": {s: {"served": served, "popular": popular} for s, (served, popular) in worth.items()},
    }
    wrong = [f"only {events:,} events"] if events < _EVENTS else []
    if len(met) and np.median(met) < patient.settings.routing.cold_start_threshold:
        wrong.append(f"half of the startups have at most {np.median(met):g} users")
    if reverse is None:
        wrong.append("reverse ALS is missing, so founders get content-based lists")
    elif age_days is not None and age_days > _STALE_DAYS:
        wrong.append(f"reverse ALS is {age_days:.0f} days older than the newest event")
    wrong += [
        f"{s}: no better than popular" for s, (served, popular) in worth.items() if served["mean"] <= popular["mean"]
    ]
    says = "; ".join(wrong) or f"{events:,} events, {np.median(met):g} users a startup, reverse ALS is current"
    return answered("P06", title, bool(wrong), says, _FOUNDERS, figures)


def weak_ranker(patient: SystemState) -> Diagnosis:
    """Check P08: a weak ranker."""
    title = "A weak ranker"
    network, learned = patient.opened(mlp_ranker.SPEC.bundle), patient.opened(learned_ranker.SPEC.bundle)
    if patient.release is None:
        return unknown("P08", title, "there is no release", _RANKER)
    serving = {s: ranks(told.get("choice") or {}) for s, told in patient.surfaces.items() if told["models"]}
    taught = learned.config["surfaces"] if learned is not None else {}
    figures = {
        "serves": serving,
        "network": _network(dict(network.config)) if network is not None else None,
        "learned": {
            s: {k: about.get(k) for k in ("serves", "reason", "positives", "rows")} for s, about in taught.items()
        },
    }
    unranked = [s for s, who in serving.items() if who in (RULES, ROUTE)]
    warnings = list(network.config.get("warnings", [])) if network is not None and RANKED in serving.values() else []
    wrong = ([f"no ranker passed on {', '.join(unranked)}, so the rules rank there"] if unranked else []) + warnings
    if network is None and learned is None and unranked:
        wrong = ["no ranker was trained: too few positives, so the rules rank"]
    by = ", ".join(f"{s} by {RANKED_BY.get(who or '', 'what the release says')}" for s, who in serving.items())
    return answered(
        "P08", title, bool(wrong), "; ".join(wrong) or f"ranked: {by or 'as the release says'}", _RANKER, figures
    )


def _network(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return positives, class balance, and the rise of the held-out loss after the best epoch."""
    held_out = config.get("validation_loss") or []
    return {
        "positives": config.get("positives"),
        "rows": config.get("rows"),
        "best_epoch": config.get("best_epoch"),
        "epochs": config.get("epochs"),
        "held_out_loss_best": min(held_out, default=None),
        "held_out_loss_last": held_out[-1] if held_out else None,
        "warnings": config.get("warnings", []),
    }


def _weak(ndcg: Mapping[str, float | None]) -> str | None:
    """Return the member whose NDCG is less than half of the other's."""
    members = {name: value or 0.0 for name, value in ndcg.items() if name != "ensemble"}
    if len(members) < 2:
        return None
    low, high = min(members, key=lambda m: members[m]), max(members.values())
    return low if members[low] < _WEAK * high else None


def _overlap(patient: SystemState, release: Release | None, surface: str) -> float | None:
    """Return the share of places that both models proposed, among those that either proposed."""
    if release is None or surface not in release.lists:
        return None
    als = ALS if Surface(surface).owner is Entity.USER else ALS_REVERSE
    either = both = 0
    for part in release_lists(patient.artifacts.directory(release.id), release, Surface(surface)):
        one, other = part.source & als.bit > 0, part.source & TWO_TOWER.bit > 0
        either, both = either + int((one | other).sum()), both + int((one & other).sum())
    return round(both / either, 4) if either else None


def _newest(patient: SystemState) -> datetime | None:
    if patient.running:
        return newest_event(patient.settings)
    newest = patient.snapshot.get("newest_event")
    return parse_instant(newest) if newest else None


def _age_days(newest: datetime | None, as_of: str | None) -> float | None:
    if as_of is None or newest is None:
        return None
    return round(max((newest - parse_instant(as_of)).total_seconds(), 0.0) / 86_400, 2)
