"""Time several ways of doing one thing in turn, and compare their results."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.batch import Proposal
from models.scoring.top_k import Float32Product, pair_scores
from pipelines.score.fast_product import fastest

BASE = "implicit.recommend"
#: Number of owners for a way that is slow on this processor.
SLICE = 512


@dataclass(frozen=True)
class Rate:
    """One way: owners a second of wall time, and microseconds of CPU time an owner, over all threads."""

    owners_per_second: float
    cpu_us: float


def owners_for(make: Callable[..., Any], owners: int) -> int:
    """Return the number of owners to time with this product.

    A slice if the processor has no fast bfloat16, which makes it ten times slower.
    """
    return owners if make is Float32Product or make is fastest() else min(owners, SLICE)


def timed(
    ways: Mapping[str, Callable[[], Any]], owners: Mapping[str, int], repeats: int
) -> tuple[dict[str, Rate], dict[str, Any]]:
    """Return the median rate and last result of each way. All take turns, so that other load affects all."""
    clock: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    results = {}
    for _ in range(repeats):
        for name, way in ways.items():
            start, used = time.perf_counter(), time.process_time()
            results[name] = way()
            clock[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - used)
    rates = {
        name: Rate(owners[name] / statistics.median(clock[name]), statistics.median(cpu[name]) / owners[name] * 1e6)
        for name in ways
    }
    return rates, results


def differing(proposal: Proposal, theirs: np.ndarray, left: np.ndarray, right: np.ndarray) -> int:
    """Count owners with an item in implicit's list that is missing in ours and scores unlike our last item.

    proposal: the same number of places for every owner, of all owners or the first ones. theirs: (b, places) items.
    left, right: vectors of owners and items on the grid (`on_grid`).
    """
    left, theirs = left[: len(proposal)], theirs[: len(proposal)]
    ours, score = (column.reshape(len(proposal), -1) for column in (proposal.item, proposal.score))
    known = np.zeros((len(proposal), len(right)), bool)
    np.put_along_axis(known, ours.astype(np.int64), True, axis=1)
    owner, place = np.nonzero(~np.take_along_axis(known, theirs.astype(np.int64), axis=1))
    score_of = pair_scores(left, right, owner, theirs[owner, place])
    return len(np.unique(owner[score_of != score[owner, -1]]))


def rows(rates: Mapping[str, Rate], other: Mapping[str, int]) -> list[str]:
    base = rates[BASE]
    lines = [
        "| way | owners/s | x implicit | CPU µs/owner | x implicit by CPU | owners whose items differ |",
        "|---|---|---|---|---|---|",
    ]
    for name, rate in rates.items():
        lines.append(
            f"| {name} | {rate.owners_per_second:,.0f} | {rate.owners_per_second / base.owners_per_second:.2f} "
            f"| {rate.cpu_us:.0f} | {base.cpu_us / rate.cpu_us:.2f} | {other.get(name, '-')} |"
        )
    return lines
