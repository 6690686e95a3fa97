"""The models of one release, opened for every surface."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models import registry
from models.errors import BundleError, MatchbookError, ServiceError
from models.nouns.bundle import Bundle
from models.recipe import Recipe, open_bundles, open_recipe, under
from models.recipe.experiments import arms_on
from models.schema import Surface
from models.settings import Settings
from models.store import bring
from serving.releases import HeldRelease

log = logging.getLogger("matchbook.reader")


@dataclass(frozen=True, eq=False)
class Recipes:
    """The models of one release. trouble: what of it could not be opened, empty if nothing. arms: by surface,
    experiment and arm the recipe of its owners."""

    release: str
    by_surface: Mapping[Surface, Recipe] = field(default_factory=dict)
    trouble: str = ""
    arms: Mapping[tuple[Surface, str, str], Recipe] = field(default_factory=dict)


def open_recipes(settings: Settings, held: HeldRelease) -> Recipes:
    """Open the bundles of a release and align them for every surface; what cannot be opened is left out and said.

    Never raises: without the catalogue or popularity there are no recipes, and the popular list answers (P09, B09).
    """
    started = time.perf_counter()
    pins: dict[str, Any] = {spec.pin_field: settings.at(spec.pin) for spec in registry.MODELS if spec.pin}
    recorded = settings.with_recorded(held.release.settings).layered(pins, "given")  # a pin is the reader's own (M04)
    bundles: dict[str, Bundle] = {}
    troubles = []
    for name, version in held.release.bundles.items():
        try:
            bring(settings, f"bundles/{name}/{version}")
            bundles |= open_bundles(settings.artifacts, {name: version}, recorded)
            log.info("model loaded: %s %s", name, bundles[name].version)
        except (BundleError, ServiceError, OSError) as error:
            troubles.append(str(error))
            log.error("model not loaded: %s %s: %s", name, version, error)
    try:
        recipes = {s: open_recipe(s, bundles, recorded) for s in Surface}
    except (MatchbookError, LookupError, ValueError) as error:
        log.error("no list can be computed live from release %s: %s", held.id, error, exc_info=not troubles)
        return Recipes(held.id, trouble="; ".join(troubles) or f"the models of release {held.id} do not fit together")
    arms = {
        (s, e.name, arm.name): under(recipes[s], bundles, arm.of(recorded))
        for s in Surface
        for e, arm in arms_on(held.experiments, s)
    }
    log.info("models of release %s are open after %.2f s", held.id, time.perf_counter() - started)
    return Recipes(held.id, recipes, "; ".join(troubles), arms)
