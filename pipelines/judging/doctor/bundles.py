"""Do the models open: missing or damaged ones (P03), the ensemble's halves (P04), what a reader leaves out (P09)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from models import ensemble, registry
from models.nouns.bundle import Bundle
from models.recipe.needed import unserved
from models.routing import models_of
from models.schema import Method, Surface
from models.spec import Stage
from pipelines.judging.doctor.diagnosis import Diagnosis, Patient, answered, unknown

_REBUILD = (
    "`python -m pipelines check` names every file; build the cutoff again (`python -m pipelines build`), go "
    "back (`python -m pipelines rollback`), or where the message says that anybody may write it, end that "
    "away (`chmod -R go-w`)"
)
_HALF = (
    "train the missing half: switch ENABLE_ALS, ENABLE_TWO_TOWER and ENABLE_ENSEMBLE on, then `python -m "
    "pipelines build`; until then the half that is there answers"
)
_PATIENCE_S = 3.0
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def missing_bundles(patient: Patient) -> Diagnosis:
    """P03."""
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


def ensemble_halves(patient: Patient) -> Diagnosis:
    """P04."""
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


def reader_opens(patient: Patient) -> Diagnosis:
    """P09: a reader starts whatever its models are; what it left out makes no live lists."""
    title = "Models that do not open while the reader starts"
    cure = (
        "stored lists and the popular list are served meanwhile, nothing stops the reader; mend what P03 names, "
        "and readers open it with the next release"
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


def _half(patient: Patient, name: str, enabled: bool) -> str:
    """Why a half of the ensemble is not there; empty where it is."""
    if not enabled:
        return "switched off"
    found = patient.bundles.get(name)
    if found is None:
        return "the build left it out (too few events, or it was switched off then)"
    return "" if isinstance(found, Bundle) else str(found)


def _health(address: str) -> dict[str, Any] | None:
    """What a running reader says of itself; None where none answers."""
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
