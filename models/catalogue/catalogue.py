"""The bundle `catalogue_v1` (all entities at the cutoff) and a release's item table in Redis."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.data.entities import Entities, IdMap
from models.data.mapped import read_arrays
from models.errors import ReleaseIncomplete
from models.schema import FACET_REASONS, FACETS, REASONS, Entity
from models.words import folded

CATALOGUE = "catalogue_v1"
_COLUMNS = ("role", "listed", "opted_out", "founder", "created_at", "views", "interactions", "count")


def catalogue_bundle(users: Entities, startups: Entities, config: Mapping[str, Any]) -> Bundle:
    """Store both kinds in one bundle. Its config has facet labels and withheld fields."""
    arrays: dict[str, NDArray[Any]] = {}
    labels = {}
    for e in (users, startups):
        arrays |= {f"{e.entity}_{c}": getattr(e, c) for c in _COLUMNS}
        arrays |= {f"{e.entity}_{f}": e.facets[f] for f in FACETS}
        labels[e.entity.value] = {f: list(e.labels[f]) for f in FACETS}
    withheld = {e.entity.value: list(e.withheld) for e in (users, startups) if e.withheld}
    about = {**config, "labels": labels, **({"withheld": withheld} if withheld else {})}
    return Bundle(CATALOGUE, about, arrays, {"user": users.ids, "startup": startups.ids})


def entities_of(bundle: Bundle) -> dict[Entity, Entities]:
    """Invert `catalogue_bundle`. A facet newer than the bundle is blank."""
    return {e: _entities(bundle, e) for e in Entity}


def _entities(bundle: Bundle, entity: Entity) -> Entities:
    columns = {c: bundle.arrays[f"{entity}_{c}"] for c in _COLUMNS}
    stored = {f: bundle.arrays[f"{entity}_{f}"] for f in FACETS if f"{entity}_{f}" in bundle.arrays}
    facets, labels = _every_facet(stored, bundle.config["labels"][entity.value], len(bundle.maps[entity.value]))
    withheld = tuple(bundle.config.get("withheld", {}).get(entity.value, ()))
    return Entities(
        entity=entity, ids=bundle.maps[entity.value], facets=facets, labels=labels, withheld=withheld, **columns
    )


def _every_facet(
    stored: Mapping[str, NDArray[np.int32]], words: Mapping[str, Sequence[str]], n: int
) -> tuple[dict[str, NDArray[np.int32]], dict[str, tuple[str, ...]]]:
    """Return for each facet its (n,) codes and the text of each code. A facet that is not stored is all blank."""
    codes = {f: stored[f] if f in stored else np.full(n, -1, np.int32) for f in FACETS}
    return codes, {f: tuple(words.get(f, ())) for f in FACETS}


@dataclass(frozen=True, eq=False)
class ItemTable:
    """The meaning of the item numbers in a release's lists.

    ids: (n,) rows. facets: (n,) codes by FACETS, -1 blank. labels: the text of each code.
    role: (n,) code of `Role`, -1 for startups.
    """

    ids: IdMap
    facets: Mapping[str, NDArray[np.int32]]
    labels: Mapping[str, tuple[str, ...]]
    role: NDArray[np.int8]

    @cached_property
    def texts(self) -> list[str]:
        """Return the n texts of the ids, ready for every answer."""
        return self.ids.ids.tolist()

    @cached_property
    def codes(self) -> Mapping[str, Mapping[str, list[int]]]:
        """Return the codes with each folded label, for each facet."""
        found: dict[str, dict[str, list[int]]] = {f: {} for f in self.labels}
        for facet, labels in self.labels.items():
            for code, label in enumerate(labels):
                found[facet].setdefault(folded(label), []).append(code)
        return found

    @cached_property
    def reasons(self) -> Mapping[int, tuple[NDArray[np.int32], tuple[str, ...]]]:
        """Return the code of each row and the labels, by the facet number of a reason.

        The facet number is bits 0-3, see models/lists/reasons.py.
        """
        return {REASONS[f] + 1: (self.facets[f], self.labels[f]) for f in FACET_REASONS}

    @cached_property
    def ends(self) -> dict[int, str]:
        """A cache of what answers say after the id and the score (serving/http/places.py)."""
        return {}


def encode_items(entities: Entities) -> bytes:
    """Return the value of `Keys.items`."""
    buffer = io.BytesIO()
    labels = json.dumps({f: list(entities.labels[f]) for f in FACETS}).encode()
    columns = {"ids": entities.ids.packed(), "role": entities.role, "labels": np.frombuffer(labels, np.uint8)}
    if entities.ids.later:
        columns["later"] = np.array(entities.ids.later, np.int64)
    np.savez_compressed(buffer, allow_pickle=False, **columns, **entities.facets)
    return buffer.getvalue()


def decode_items(value: bytes) -> ItemTable:
    """Invert `encode_items`. A facet newer than the value is blank.

    Raises ReleaseIncomplete if the bytes cannot be decoded.
    """
    try:
        z = read_arrays(io.BytesIO(value))
        ids = IdMap.from_packed(z["ids"], int(z["later"]) if "later" in z else 0)
        words = json.loads(z["labels"].tobytes())
        facets, labels = _every_facet({f: z[f] for f in FACETS if f in z}, words, len(ids))
        return ItemTable(ids, facets, labels, z["role"])
    except Exception as error:  # a damaged archive raises errors of zipfile, zlib or numpy
        raise ReleaseIncomplete(f"the release's item table cannot be read ({error}); publish it again") from error
