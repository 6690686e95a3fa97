"""The bundles that know everybody, with those who came since: what their own words and the day's events tell of them.

Nothing is taught here: who was known keeps every number. A model that knows people by what they did (ALS, neighbours,
popularity) knows newcomers with the next build only, and abstains until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import sparse

from models.features.clock import EventClock
from models.features.facts import item_facts
from models.features.regions import AFFINITIES, codes_in
from models.nouns.bundle import Bundle
from models.nouns.catalogue import CATALOGUE, catalogue_bundle
from models.nouns.id_map import IdMap
from models.recipe.sources import ACTIVITY
from models.schema import Entity
from models.scoring.factors import embed
from pipelines.runs.run import Run
from pipelines.scoring.refresh.changes import Changes

#: Of so many who were known and are most alike in their facts a newcomer takes the mean demand.
ALIKE = 5
_CONTENT = "content_v1"


def extended_bundles(run: Run, versions: Mapping[str, str], changes: Changes) -> dict[str, str]:
    """Store the catalogue as it is now, and what must know everybody in it; returns the versions of all bundles.

    versions: of the release that is refreshed. The catalogue's `as_of_us` stays the build's, which its models were
    taught at; `refreshed_us` is the refresh's cutoff.
    """
    before = run.artifacts.open_bundle(CATALOGUE, versions[CATALOGUE])
    users, startups = (changes.entities[e] for e in (Entity.USER, Entity.STARTUP))
    config = {k: v for k, v in before.config.items() if k != "labels"} | {"refreshed_us": run.as_of_us}
    found = {CATALOGUE: catalogue_bundle(users, startups, config)}
    if any(changes.new.values()):
        if _CONTENT in versions:
            found[_CONTENT] = _content(run.artifacts.open_bundle(_CONTENT, versions[_CONTENT]), changes)
        if ACTIVITY in versions:
            found[ACTIVITY] = _activity(run.artifacts.open_bundle(ACTIVITY, versions[ACTIVITY]), changes, run.as_of_us)
    return {**versions, **{name: run.artifacts.store_bundle(b, run.slug) for name, b in found.items()}}


def _content(bundle: Bundle, changes: Changes) -> Bundle:
    """Newcomers by the words of their profiles, as a stranger is read."""
    arrays = dict(bundle.arrays)
    for entity, new in changes.new.items():
        told, _ = embed([a.text.split() for a in new], arrays["tokens"], arrays["token_vectors"])
        arrays[f"{entity}_vectors"] = np.concatenate([arrays[f"{entity}_vectors"], told])
    return replace(bundle, arrays=arrays, maps=_maps(bundle, changes), version="")


def _activity(bundle: Bundle, changes: Changes, now_us: int) -> Bundle:
    """Newcomers' facts at the refresh's cutoff, by the build's clock; the demand of those known who are most alike."""
    arrays = dict(bundle.arrays)
    clock = EventClock(arrays["clock_instant"], arrays["clock_share"])
    for entity, new in changes.new.items():
        known = len(bundle.maps[entity.value])
        events = changes.events if entity is Entity.USER else changes.events.transposed()
        if new:
            facts = item_facts(changes.entities[entity], events, clock, now_us)
            fresh = np.stack([facts[name][known:] for name in bundle.config["facts"]], axis=1)
            there, demand = arrays[f"{entity}_facts"], arrays[f"{entity}_demand"]
            arrays[f"{entity}_demand"] = np.concatenate([demand, _demand_of_alike(there, demand, fresh)])
            arrays[f"{entity}_facts"] = np.concatenate([there, fresh])
    if changes.new[Entity.USER]:
        arrays |= _met_by_newcomers(bundle, changes)
    return replace(bundle, arrays=arrays, maps=_maps(bundle, changes), version="")


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


def _met_by_newcomers(bundle: Bundle, changes: Changes) -> dict[str, np.ndarray]:
    """For each facet the csr of how many startups of each value a person met, with the rows of those who came."""
    known, found = len(bundle.maps["user"]), dict[str, np.ndarray]()
    met = changes.events.where(changes.events.owner >= known).csr(damping="binary")[known:] > 0
    for name in AFFINITIES:
        values = bundle.arrays[f"{name}_values"].tolist()
        code = codes_in(values, changes.entities[Entity.STARTUP], name)
        column = np.where(code < 0, len(values), code)
        cells = (np.ones(len(column), np.float32), (np.arange(len(column)), column))
        counts = sparse.csr_matrix(met.astype(np.float32) @ sparse.csr_matrix(cells, (len(column), len(values) + 1)))
        counts.sort_indices()
        before = {part: bundle.arrays[f"{name}_{part}"] for part in ("indptr", "indices", "data")}
        more = {"indptr": counts.indptr[1:] + before["indptr"][-1], "indices": counts.indices, "data": counts.data}
        found |= {f"{name}_{part}": np.concatenate([old, more[part].astype(old.dtype)]) for part, old in before.items()}
    return found


def _maps(bundle: Bundle, changes: Changes) -> dict[str, IdMap]:
    return {**bundle.maps, **{e.value: entities.ids for e, entities in changes.entities.items()}}
