"""Activity facts of users and startups at the cutoff, and their expected demand.

Demand is the expected number of new partners of an item. Poisson trees predict it from the item's facts. Their training
samples are the facts at historical cutoffs and the new partners in the period after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.activity import SPEC
from models.data.bundle import Bundle
from models.data.interactions import EventTime, Interactions, leaving
from models.data.training_data import MarketState, Newcomers, TrainingData
from models.errors import TrainingError
from models.features.item_facts import item_facts
from models.features.location import AFFINITIES, coded, codes_in
from models.gbdt.fit import Forest, TreeShape, fit_trees
from models.gbdt.trees import Trees
from models.schema import Entity

NAME = SPEC.bundle
#: Most new partners that count per item and period. The limit keeps a short fashion from dominating training.
MOST = 10
#: With fewer new pairs no trees are trained. Demand is then recent activity with a half-life of a tenth of all events.
ENOUGH = 100
_SHAPE = TreeShape(trees=150, leaves=8, learning_rate=0.05, min_leaf=50, l2=10.0, columns=0.5)


#: Historical cutoffs, given as the share of events after each, and the length of the period after each, as a share.
EARLIER, STRETCH = (0.1, 0.2, 0.3, 0.4, 0.5), 0.2


def fit(data: TrainingData[None]) -> Bundle:
    """Train the bundle activity_v1."""
    at = data.interactions.at
    earlier = []
    for share in EARLIER:
        cut_us = leaving(at, share) if len(at) else 0
        if len(at) and cut_us > at.min():
            until = share - STRETCH
            until_us = leaving(at, until) if until > 1e-9 else data.as_of_us
            earlier.append((data.earlier(cut_us).standing, until_us))
    return fit_activity(data.standing, earlier, data.seed)


def fit_activity(now: MarketState, earlier: Sequence[tuple[MarketState, int]], seed: int = 42) -> Bundle:
    """Compute the bundle activity_v1. Never raises; with too few samples demand is the recent activity.

    earlier: states before `now`, each with the end of its prediction period.
    Arrays clock_instant and clock_share: see EventTime.
    Arrays for each kind of entity: _facts (n, f) in the order of the config's `facts`, and _demand (n,) expected new
    partners.
    Arrays for each facet: _values (v,) ascending; _share (v + 1,) of all pairs; and the csr _indptr, _indices, _data,
    users x (v + 1). A cell counts the startups with the value that the user interacted with. The last column is blank.
    """
    clock = now.clock
    arrays: dict[str, NDArray[Any]] = {"clock_instant": clock.instant, "clock_share": clock.share}
    config: dict[str, object] = {"rows": len(now.interactions), "as_of_us": now.as_of_us, "seed": seed}
    for side, (entities, events) in enumerate(now.sides):
        name, facts = entities.entity.value, item_facts(entities, events, clock, now.as_of_us)
        arrays[f"{name}_facts"] = np.stack(list(facts.values()), axis=1)
        samples = [_taught(then, side, until, events, entities.all_met) for then, until in earlier]
        arrays[f"{name}_demand"], config[f"{name}_demand"] = _demand(facts, samples, seed)
        config["facts"] = list(facts)
    met = now.interactions.csr(damping="binary") > 0
    for facet, (codes, values) in coded(now.startups).items():
        arrays |= {f"{facet}_{name}": array for name, array in _met_by_value(met, codes, values).items()}
    return Bundle(NAME, config, arrays, {"user": now.users.ids, "startup": now.startups.ids})


def _taught(
    then: MarketState, side: int, until_us: int, events: Interactions, all_met: bool
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the training samples of one cutoff: (m, f) facts and (m,) new partners by until_us.

    The samples are all items that could be shown.
    events: all events of this side. all_met: see `Entities.all_met`.
    """
    entities, before = then.sides[side]
    facts = np.stack(list(item_facts(entities, before, then.clock, then.as_of_us).values()), axis=1)
    new = np.diff(events.before(until_us).pairs().indptr) - np.diff(before.pairs().indptr)
    shown = entities.listed & (entities.count > 0) if all_met else entities.listed
    return facts[shown], np.minimum(new, MOST)[shown]


def _demand(
    facts: dict[str, NDArray[np.float32]], samples: Sequence[tuple[NDArray[np.float32], NDArray[np.int32]]], seed: int
) -> tuple[NDArray[np.float32], dict[str, object]]:
    """Return (n,) expected new partners, and how they were computed."""
    recent = (np.expm1(facts["heat_0.1"]) / 100).astype(np.float32)
    features = np.concatenate([f for f, _ in samples]) if samples else np.zeros((0, len(facts)), np.float32)
    label = np.concatenate([y for _, y in samples]) if samples else np.zeros(0)
    if label.sum() < ENOUGH:
        return recent, {"by": "recent events", "pairs": int(label.sum())}
    try:
        (trees,) = fit_trees(features, label, np.zeros(len(label), np.int64), [Forest("poisson", _SHAPE, seed)])
    except TrainingError as error:
        return recent, {"by": "recent events", "pairs": int(label.sum()), "reason": str(error)}
    raw = Trees.from_arrays(trees).score(np.stack(list(facts.values()), axis=1))
    gain = sorted(zip(trees["gain"].tolist(), facts, strict=True), reverse=True)[:10]
    return np.exp(np.clip(raw, -12, 6)).astype(np.float32), {
        "by": "trees over facts",
        "pairs": int(label.sum()),
        "rows": len(label),
        "cuts": len(samples),
        "gain": {fact: round(value, 1) for value, fact in gain},
    }


def _met_by_value(met: sparse.csr_matrix, codes: NDArray[np.int32], values: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Count each user's startups by facet value, and compute each value's share of all pairs.

    met: users x startups. codes: (startups,) index in `values`, -1 blank.
    """
    column = np.where(codes < 0, len(values), codes)
    one_hot = sparse.csr_matrix(
        (np.ones(len(column), np.float32), (np.arange(len(column)), column)), shape=(len(column), len(values) + 1)
    )
    counts = sparse.csr_matrix(met.astype(np.float32) @ one_hot)
    counts.sort_indices()
    total = np.asarray(counts.sum(axis=0)).ravel()
    return {
        "values": np.array(values, np.str_),
        "indptr": counts.indptr,
        "indices": counts.indices,
        "data": counts.data,
        "share": (total / max(float(total.sum()), 1)).astype(np.float32),
    }


#: The demand of a new entity is the mean of this many known entities with the most similar facts.
ALIKE = 5


def extend(bundle: Bundle, newcomers: Newcomers) -> Bundle:
    """Add new entities: their facts at the refresh's cutoff, and the demand of similar entities."""
    arrays = dict(bundle.arrays)
    clock = EventTime(arrays["clock_instant"], arrays["clock_share"])
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


def _demand_of_alike(
    known: NDArray[np.float32], demand: NDArray[np.float32], fresh: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (m,) mean demand of the ALIKE nearest known entities, by standardised facts.

    known: (n, f).
    """
    if not len(known):
        return np.zeros(len(fresh), demand.dtype)
    scale = np.maximum(known.std(axis=0), np.float32(1e-6))
    there, found = known / scale, np.empty(len(fresh), demand.dtype)
    length = (there * there).sum(axis=1)
    for start in range(0, len(fresh), 256):  # in chunks: a matrix of new x known entities may not fit into memory
        rows = fresh[start : start + 256] / scale
        near = np.argsort(length - 2 * rows @ there.T, axis=1, kind="stable")[:, :ALIKE]
        found[start : start + 256] = demand[near].mean(axis=1)
    return found


def _met_by_newcomers(bundle: Bundle, newcomers: Newcomers) -> dict[str, NDArray[Any]]:
    """Append rows for new users to the csr of startups by value of each facet."""
    known, found = len(bundle.maps["user"]), dict[str, NDArray[Any]]()
    met = newcomers.events.where(newcomers.events.owner >= known).csr(damping="binary")[known:] > 0
    for name in (n for n in AFFINITIES if f"{n}_values" in bundle.arrays):  # a newer facet has no arrays
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
