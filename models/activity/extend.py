"""Activity with those who came since its fit: their facts now, by its clock, and the demand of those most alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from models.data.newcomers import Newcomers
from models.features.clock import EventClock
from models.features.facts import item_facts
from models.features.regions import AFFINITIES, codes_in
from models.nouns.bundle import Bundle
from models.schema import Entity

#: Of so many who were known and are most alike in their facts a newcomer takes the mean demand.
ALIKE = 5


def extend(bundle: Bundle, newcomers: Newcomers) -> Bundle:
    """Newcomers' facts at the refresh's cutoff, by the build's clock; the demand of those known who are most alike."""
    arrays = dict(bundle.arrays)
    clock = EventClock(arrays["clock_instant"], arrays["clock_share"])
    for entity, new in newcomers.texts.items():
        known = len(bundle.maps[entity.value])
        events = newcomers.events if entity is Entity.USER else newcomers.events.transposed()
        if new:
            facts = item_facts(newcomers.entities[entity], events, clock, newcomers.now_us)
            fresh = np.stack([facts[name][known:] for name in bundle.config["facts"]], axis=1)
            there, demand = arrays[f"{entity}_facts"], arrays[f"{entity}_demand"]
            arrays[f"{entity}_demand"] = np.concatenate([demand, _demand_of_alike(there, demand, fresh)])
            arrays[f"{entity}_facts"] = np.concatenate([there, fresh])
    if newcomers.texts[Entity.USER]:
        arrays |= _met_by_newcomers(bundle, newcomers)
    return replace(bundle, arrays=arrays, maps=newcomers.maps(bundle), version="")


def _demand_of_alike(known: np.ndarray, demand: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """(m,) mean demand of the ALIKE nearest in facts, each fact on the scale of its spread. known: (n, f)."""
    if not len(known):
        return np.zeros(len(fresh), demand.dtype)
    scale = np.maximum(known.std(axis=0), np.float32(1e-6))
    there, found = known / scale, np.empty(len(fresh), demand.dtype)
    length = (there * there).sum(axis=1)
    for start in range(0, len(fresh), 256):  # chunks: newcomers x known must not be laid out at once
        rows = fresh[start : start + 256] / scale
        near = np.argsort(length - 2 * rows @ there.T, axis=1, kind="stable")[:, :ALIKE]
        found[start : start + 256] = demand[near].mean(axis=1)
    return found


def _met_by_newcomers(bundle: Bundle, newcomers: Newcomers) -> dict[str, np.ndarray]:
    """For each facet the csr of how many startups of each value a person met, with the rows of those who came."""
    known, found = len(bundle.maps["user"]), dict[str, np.ndarray]()
    met = newcomers.events.where(newcomers.events.owner >= known).csr(damping="binary")[known:] > 0
    for name in AFFINITIES:
        values = bundle.arrays[f"{name}_values"].tolist()
        code = codes_in(values, newcomers.entities[Entity.STARTUP], name)
        column = np.where(code < 0, len(values), code)
        cells = (np.ones(len(column), np.float32), (np.arange(len(column)), column))
        counts = sparse.csr_matrix(met.astype(np.float32) @ sparse.csr_matrix(cells, (len(column), len(values) + 1)))
        counts.sort_indices()
        before = {part: bundle.arrays[f"{name}_{part}"] for part in ("indptr", "indices", "data")}
        more = {"indptr": counts.indptr[1:] + before["indptr"][-1], "indices": counts.indices, "data": counts.data}
        found |= {f"{name}_{part}": np.concatenate([old, more[part].astype(old.dtype)]) for part, old in before.items()}
    return found
