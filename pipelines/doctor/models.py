"""Check the models: missing or damaged (P03), the ensemble's members (P04), models that a reader skipped (P09)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import numpy as np

from models import als, ensemble, registry
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.bundle import Bundle
from models.recommender.surface import unserved
from models.routing import models_of
from models.schema import Entity, Method, Surface
from models.spec import Stage
from pipelines.doctor.diagnosis import Diagnosis, SystemState, answered, unknown
from pipelines.postgres import engine, rows

_REBUILD = (
    "`python -m pipelines check` names every file; build the cutoff again (`python -m pipelines build`), go "
    "back (`python -m pipelines rollback`). If the message says that every user may write a file, remove that "
    "permission (`chmod -R go-w`)"
)
_HALF = (
    "train the missing member: enable ENABLE_ALS, ENABLE_TWO_TOWER and ENABLE_ENSEMBLE, then `python -m "
    "pipelines build`; until then the other member answers"
)
_PATIENCE_S = 3.0
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def missing_bundles(patient: SystemState) -> Diagnosis:
    """Check P03: missing or damaged models."""
    title = "Model files missing or damaged"
    if patient.release is None:
        return answered("P03", title, True, "no release is stored: nothing was ever built", _REBUILD, {"release": None})
    bad = {name: str(found) for name, found in patient.bundles.items() if not isinstance(found, Bundle)}
    left_out = [
        spec.bundle
        for spec in registry.staged(Stage.BASE)
        if spec.bundle not in patient.bundles and not spec.optional and not unserved(spec.bundle, patient.settings)
    ]
    figures = {
        "release": patient.release.id,
        "opened": len(patient.bundles) - len(bad),
        "bad": bad,
        "left_out": left_out,
    }
    says = (
        f"{len(patient.bundles) - len(bad)} of {len(patient.bundles)} bundles of {patient.release.id} open"
        + "".join(f"; {name}: {why}" for name, why in bad.items())
        + (f"; the build did without: {', '.join(left_out)}" if left_out else "")
    )
    return answered("P03", title, bool(bad), says, _REBUILD, figures)


def ensemble_halves(patient: SystemState) -> Diagnosis:
    """Check P04: missing members of the ensemble."""
    title, settings = "The ensemble cannot start", patient.settings
    if not settings.routing.enable_ensemble:
        return answered("P04", title, False, "ENABLE_ENSEMBLE is off: hot people get ALS", _HALF, {"enabled": False})
    if patient.release is None:
        return unknown("P04", title, "no release is stored", _HALF)
    models = models_of(Method.ENSEMBLE, Surface.STARTUPS_FOR_DEVELOPER)
    halves = {spec.bundle: _half(patient, spec.bundle, not spec.off(settings)) for spec in models if spec.source}
    missing = {name: why for name, why in halves.items() if why}
    says = (
        "both halves open" if not missing else "; ".join(f"{name} is missing: {why}" for name, why in missing.items())
    )
    figures = {
        "halves": {name: why or "opens" for name, why in halves.items()},
        "chosen_blend": patient.opened(ensemble.SPEC.bundle) is not None,
    }
    return answered("P04", title, bool(missing), says, _HALF, figures)


def reader_opens(patient: SystemState) -> Diagnosis:
    """Check P09: models that the reader could not open. The reader starts anyway, without their live lists."""
    title = "Models that do not open while the reader starts"
    cure = (
        "the reader runs and serves stored lists and the popular list; fix what P03 names, "
        "then readers open the models with the next release"
    )
    told = _health(patient.settings.reader_address)
    if told is None:
        return unknown("P09", title, f"no reader answers at {patient.settings.reader_address}", cure)
    troubles = told.get("troubles") or {}
    needed = [n for n in registry.required() if patient.release is not None and patient.opened(n) is None]
    figures = {
        "status": told.get("status"),
        "troubles": troubles,
        "release": told.get("release"),
        "models_loaded": told.get("models_loaded"),
        "live_lists_impossible_without": needed,
    }
    models = str(troubles.get("models", ""))
    says = (
        f"the reader answers ({told.get('status')}) and left out: {models}"
        if models
        else f"the reader answers ({told.get('status')}), its models are open"
        if told.get("models_loaded")
        else f"the reader answers ({told.get('status')}), its models are not open yet"
    )
    return answered("P09", title, bool(models or needed), says, cure, figures)


def _half(patient: SystemState, name: str, enabled: bool) -> str:
    """Return why a member of the ensemble is missing; empty if it is there."""
    if not enabled:
        return "switched off"
    found = patient.bundles.get(name)
    if found is None:
        return "the build left it out (too few events, or it was switched off then)"
    return "" if isinstance(found, Bundle) else str(found)


def _health(address: str) -> dict[str, Any] | None:
    try:
        with _open(f"{address}/health", timeout=_PATIENCE_S) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        try:
            return dict(json.load(error))
        except (ValueError, TypeError):
            return None
    except (OSError, ValueError, TypeError):
        return None


#: Training data are few if a smaller share of people is past the cold start.
_PAST_COLD = 0.10
_NO_ROWS = (
    "load the platform's data (`python -m pipelines import FOLDER`, docs/guides/your-data.md), or check that the "
    "platform still writes views, clicks, likes and applications into its tables"
)
_SPARSE = (
    "wait for more events: until then content-based and popular lists answer; include owners with fewer events "
    "([als] min_interactions = 1), or send them to ALS earlier (COLD_START_THRESHOLD)"
)


def empty_tables(patient: SystemState) -> Diagnosis:
    """Check P01: empty tables."""
    title = "No interactions to learn from"
    if not patient.running:
        return unknown("P01", title, "PostgreSQL does not run here, so its tables were not counted", _NO_ROWS)
    found = rows(engine(patient.settings), "doctor/sizes")[0]
    figures = {"users": found.users, "startups": found.startups, "interactions": found.interactions}
    empty = [name for name, count in figures.items() if not count]
    says = f"empty: {', '.join(empty)}" if empty else ", ".join(f"{count:,} {name}" for name, count in figures.items())
    return answered("P01", title, bool(empty), says, _NO_ROWS, figures)


def sparse_matrix(patient: SystemState) -> Diagnosis:
    """Check P02: a sparse matrix."""
    title = "Too few events for each person or startup"
    release, catalogue = patient.release, patient.opened(CATALOGUE)
    if release is None or catalogue is None:
        return unknown("P02", title, "there is no release whose people could be counted", _SPARSE)
    counts = entities_of(catalogue)[Entity.USER].count
    past_cold = float((counts >= patient.settings.routing.cold_start_threshold).mean()) if len(counts) else 0.0
    wanted = [spec.bundle for spec in (als.SPEC, als.REVERSE) if not spec.off(patient.settings)]
    left_out = [name for name in wanted if name not in release.bundles]
    figures = {
        "users": len(counts),
        "events_a_user_median": float(np.median(counts)) if len(counts) else 0.0,
        "past_cold_start": round(past_cold, 4),
        "density": _density(patient.opened(als.SPEC.bundle)),
        "left_out": left_out,
    }
    few = past_cold < _PAST_COLD
    says = (
        f"{past_cold:.1%} of {len(counts):,} users have {patient.settings.routing.cold_start_threshold} events and more"
        + (f"; left out for lack of data: {', '.join(left_out)}" if left_out else "")
    )
    return answered("P02", title, bool(left_out) or few, says, _SPARSE, figures)


def _density(als: Bundle | None) -> float | None:
    """Return the share of filled cells in the matrix of ALS."""
    value = als.config.get("density") if als is not None else None
    return float(value) if isinstance(value, int | float) else None
