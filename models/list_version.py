"""The fields `ranker`, `ranker_version` and `model_version` of an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models import content, item_neighbours, registry
from models.data.bundle import digest_of
from models.routing import models_of
from models.schema import Method, Similar, Surface
from models.setting import Phase
from models.settings.declared import DECLARED
from models.settings.settings import Settings
from models.spec import ModelSpec, Stage

#: The bundles that can order similar lists.
SIMILAR_BUNDLES: Mapping[Similar, tuple[str, ...]] = {
    Similar.STARTUPS: (item_neighbours.SPEC.bundle, content.SPEC.bundle),
    Similar.USERS: (item_neighbours.REVERSE.bundle, content.SPEC.bundle),
}
_USUAL = Settings()
#: Settings that act on finished models. The arms of a release share one value of views_are_seen.
_ACTING = (*(n for n, d in DECLARED.items() if d.rule.phase is Phase.SERVE), "views_are_seen")


@dataclass(frozen=True)
class ListVersion:
    """What ordered a list.

    ranker: its kind; None if no ranker did, or an older version did not store it.
    ranker_version: its bundle and version; without a bundle, its name and a digest of its settings.
    model_version: the method's bundles, the ranker, and a digest of everything that can order the list.
    """

    ranker: str | None
    ranker_version: str | None
    model_version: str


def version_of(
    surface: Surface, method: Method, ranker: int, bundles: Mapping[str, str], settings: Settings, code: str
) -> ListVersion:
    """Return the version of a list. ranker: its code.

    bundles: versions by name, of the release when the list was made. Pinned bundles replace them.
    settings: of the owner's arm. code: the version of the code that made the list.
    """
    pinned = {name: f"pinned:{Path(path).name}" for name, path in registry.pins(settings).items() if path}
    there, spec = {**bundles, **pinned}, registry.ranker(ranker)
    told = [f"{m.bundle}/{there[m.bundle]}" for m in models_of(method, surface) if m.bundle in there]
    by = None if spec is None else _ranker_version(spec, there, settings)
    models = _ordering(surface, method, ranker, settings)
    ordering = {
        "bundles": {m.bundle: there[m.bundle] for m in models if m.bundle in there},
        "settings": {} if _by_popularity(method, ranker) else _chosen(settings),
        "ranker": by,
        "code": code,
    }
    whole = " + ".join([*told, *([by] if by else []), f"order/{_digest(ordering)}"])
    return ListVersion(spec.kind if spec else None, by, whole)


def similar_version(kind: Similar, bundles: Mapping[str, str], settings: Settings, code: str) -> ListVersion:
    """Return the version of a similar list: its bundles, and a digest of them, its settings and the code."""
    there = {name: bundles[name] for name in SIMILAR_BUNDLES[kind] if name in bundles}
    ordering = {"bundles": there, "settings": asdict(settings.similar), "code": code}
    told = [f"{name}/{version}" for name, version in there.items()]
    return ListVersion(None, None, " + ".join([*told, f"order/{_digest(ordering)}"]))


@cache
def models_code() -> str:
    """Return "models=" and twelve hex digits of the Python files of `models`.

    Batch and reader make lists with these files.
    """
    root = Path(__file__).parent
    return f"models={digest_of(root, root.rglob('*.py'))}"


def live_code(code: str) -> str:
    """Return the code version of a list that this process makes.

    code: of the release; returned if its models are the same. An older release does not store it and counts as the
    same.
    """
    return code if models_code() in code.split() or "models=" not in code else f"{code} live {models_code()}"


def _ordering(surface: Surface, method: Method, ranker: int, settings: Settings) -> list[ModelSpec]:
    """Return the models that can order a list.

    Without a ranker: the models of its method. A ranker may use every source and every fact. Popular items fill short
    lists.
    """
    if _by_popularity(method, ranker):
        return list(models_of(Method.POPULAR, surface))
    if not ranker:
        return [*models_of(method, surface), *models_of(Method.POPULAR, surface)]
    serving, own = registry.ranker(ranker), models_of(method, surface)
    return [
        spec
        for spec in registry.MODELS
        if (spec in own or surface.owner in spec.owners)
        and not spec.off(settings)
        and (spec.stage is not Stage.RANKER or serving in (None, spec))
    ]


def _by_popularity(method: Method, ranker: int) -> bool:
    return method is Method.POPULAR and not ranker


def _ranker_version(spec: ModelSpec, bundles: Mapping[str, str], settings: Settings) -> str:
    if spec.bundle:
        return f"{spec.bundle}/{bundles.get(spec.bundle, 'unknown')}"
    own = {name: value for name, value in _chosen(settings).items() if DECLARED[name].table == spec.table_name}
    return f"{spec.kind}/{_digest(own)}"


def _chosen(settings: Settings) -> dict[str, Any]:
    """Return the settings that act on finished models and are not the default.

    So a new setting changes no version. Settings of the mode count as it sets them.
    """
    values = {name: settings.value(name) for name in _ACTING}
    return {n: DECLARED[n].written(value) for n, value in values.items() if value != _USUAL.value(n)}


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]
