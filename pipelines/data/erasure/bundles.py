"""A bundle without a person: a blank row in its id tables, zeros (or "unknown") in every column of that row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from models import registry
from models.nouns.bundle import Bundle
from models.nouns.catalogue import CATALOGUE
from models.nouns.entities import FACETS, UNKNOWN_TIME
from models.nouns.id_map import IdMap
from models.spec import function
from pipelines.artifacts import BUNDLES, HOLDOUTS, Artifacts
from pipelines.data.erasure.person import Person

#: What "unknown" is in a column of the catalogue; 0 (or False) everywhere else.
_UNKNOWN = {"role": -1, "founder": -1, "created_at": UNKNOWN_TIME, **dict.fromkeys(FACETS, -1)}


def rewrite_bundles(artifacts: Artifacts, person: Person) -> dict[str, str]:
    """Store a successor of every bundle that knows the person; returns "kind/name/version" -> its successor."""
    successors = {}
    for kind in (BUNDLES, HOLDOUTS):
        for folder in sorted((artifacts.root / kind).glob("*")):
            for path in artifacts.stored(f"{kind}/{folder.name}"):
                found = without(artifacts.open_bundle(folder.name, path.name, kind), person)
                if found is not None:
                    version = artifacts.store_bundle(found, path.name.rsplit("-", 1)[0], kind)
                    successors[f"{kind}/{folder.name}/{path.name}"] = f"{kind}/{folder.name}/{version}"
    return successors


def without(bundle: Bundle, person: Person) -> Bundle | None:
    """The bundle without a person, their mark in its config; None where it does not know them."""
    rows = {name: int(ids.rows_of([person.id])[0]) for name, ids in bundle.maps.items()}
    rows = {name: row for name, row in rows.items() if row >= 0}
    if not rows:
        return None
    arrays, files, maps = dict(bundle.arrays), dict(bundle.files), dict(bundle.maps)
    for name, row in rows.items():
        arrays |= _blanked(arrays, name, maps[name], row)
        if name != "startup":  # where there are both, the rows are people's
            arrays |= _cut(arrays, maps[name], row, square=len(maps) == 1)
        maps[name] = maps[name].without(row)
        if hook := _forgetting(bundle.name):
            files = {file: function(hook)(body, name, row) for file, body in files.items()}
    if "user" in rows and "startup_founder" in arrays:
        founder = arrays["startup_founder"]
        arrays["startup_founder"] = np.where(founder == rows["user"], -1, founder).astype(founder.dtype)
    config = {**bundle.config, "erased": [*bundle.config.get("erased", []), person.mark]}
    if bundle.name == CATALOGUE:
        config["labels"] = _labels(bundle, arrays)
    return replace(bundle, config=config, arrays=arrays, maps=maps, files=files, version="")


def _forgetting(name: str) -> str:
    """The hook of the model of a bundle that forgets a row in its files; empty for models that no longer are."""
    return next((spec.forget for spec in registry.MODELS if spec.bundle == name), "")


def _blanked(arrays: Mapping[str, np.ndarray], side: str, ids: IdMap, row: int) -> dict[str, np.ndarray]:
    """The columns of one side (`user_factors`, `startup_role` …) with this row unknown."""
    found = {}
    for key, array in arrays.items():
        if key.startswith(f"{side}_") and len(array) == len(ids):
            found[key] = array.copy()
            found[key][row] = _UNKNOWN.get(key.removeprefix(f"{side}_"), 0)
    return found


def _labels(bundle: Bundle, arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, list[str]]]:
    """The words of the facets, blank where only the person had them; the codes of all others stay."""

    def left(entity: str, facet: str, words: list[str]) -> list[str]:
        before, after = set(bundle.arrays[f"{entity}_{facet}"].tolist()), set(arrays[f"{entity}_{facet}"].tolist())
        return ["" if code in before - after else word for code, word in enumerate(words)]

    return {e: {f: left(e, f, words) for f, words in facets.items()} for e, facets in bundle.config["labels"].items()}


def _cut(arrays: Mapping[str, np.ndarray], ids: IdMap, row: int, square: bool) -> dict[str, np.ndarray]:
    """Every csr over these ids (`indptr`, `indices`, `data`, or with a prefix) with this row empty; square: its columns
    are the same ids, so their cells go, too."""
    found: dict[str, np.ndarray] = {}
    for key, indptr in arrays.items():
        prefix = key.removesuffix("indptr")
        if prefix != key and len(indptr) == len(ids) + 1:
            indices, data = arrays[f"{prefix}indices"], arrays[f"{prefix}data"]
            of_row = np.repeat(np.arange(len(ids)), np.diff(indptr))
            kept = (of_row != row) & ~(square & (indices == row))
            lengths = np.bincount(of_row[kept], minlength=len(ids))
            found |= {
                key: np.concatenate([[0], np.cumsum(lengths)]).astype(indptr.dtype),
                f"{prefix}indices": indices[kept],
                f"{prefix}data": data[kept],
            }
    return found
