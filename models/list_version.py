"""Who ordered a list and with what: the fields `ranker`, `ranker_version` and `model_version` of an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models import registry
from models.data.bundle import digest_of
from models.routing import models_of
from models.schema import Method, Surface
from models.setting import Phase
from models.settings.declared import DECLARED
from models.settings.settings import Settings
from models.spec import ModelSpec, Stage

_USUAL = Settings()
#: Settings that act on finished models. The arms of a release share one value of the last.
_ACTING = (*(n for n, d in DECLARED.items() if d.rule.phase is Phase.SERVE), "views_are_seen")


@dataclass(frozen=True)
class ListVersion:
    """ranker: the kind of the ranker, None where none ordered the list or an older version did not name it.

    ranker_version: its bundle and version, or its name and a digest of its settings where it has no bundle.
    model_version: the bundles behind the method, the ranker, and a digest over everything that can order the list."""

    ranker: str | None
    ranker_version: str | None
    model_version: str


def version_of(
    surface: Surface, method: Method, ranker: int, bundles: Mapping[str, str], settings: Settings, code: str
) -> ListVersion:
    """The version of a list. ranker: its code. bundles: versions by name, of the release when the list was made.

    settings: those that the list was made with, of the owner's arm; what they pin replaces the bundle of the release.
    code: the version of the code that made it."""
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


@cache
def models_code() -> str:
    """ "models=" and twelve hex digits of the Python files of `models`, which batch and reader make lists with."""
    root = Path(__file__).parent
    return f"models={digest_of(root, root.rglob('*.py'))}"


def live_code(code: str) -> str:
    """The code version of a list that this process makes. code: of the release, returned if its models are the same.

    Older releases do not name the code of their models: they count as the same."""
    return code if models_code() in code.split() or "models=" not in code else f"{code} live {models_code()}"


def _ordering(surface: Surface, method: Method, ranker: int, settings: Settings) -> list[ModelSpec]:
    """The models that can order a list: without a ranker those of its method; a ranker draws on every source that may
    speak, and may read every fact. Popular items fill up what is short."""
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
    """The settings that act on finished models, as they hold in the mode, and are not the default: a new setting
    changes no version."""
    values = {name: settings.value(name) for name in _ACTING}
    return {n: DECLARED[n].written(value) for n, value in values.items() if value != _USUAL.value(n)}


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]
