"""Blank profile columns that leak the future: columns that later events fill or empty.

Profiles are as of the export. If the platform fills a column at a startup's first event, a ranker would learn that a
filled value predicts an event (docs/decisions/0031-view-counters.md).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.data.interactions import EventTime, Interactions, leaving
from models.features.item_facts import last_age
from models.schema import Entity
from pipelines.export.layout import STARTUPS, USERS, RowGroups
from pipelines.export.snapshot import Snapshot

#: Largest allowed difference in the share with later events, between blank and filled rows of equal earlier activity.
#: Harmless columns of the sample, deskdrop and crunchbase stay below 0.3.
GAP = 0.5
#: If at least EXPECTED rows should have (or lack) later events, at least the share LEAST of them must. Harmless
#: columns stay above 0.8. The test is skipped if the rarer group has a share below RARE.
EXPECTED, LEAST, RARE = 20.0, 0.25, 0.1
#: Minimum rows of either group, and minimum standard errors.
FEW, SURE = 20, 6.0
#: Strata of equal size by age of the last event. Doublings of the number of events split them further.
PARTS = 8


def met_from(events: Interactions, instant: int, n: int) -> NDArray[np.bool_]:
    """Return (n,) bool: owners with an event at the instant or later."""
    return np.bincount(events.owner[events.at >= instant], minlength=n) > 0


def equally_busy(before: Interactions, clock: EventTime, shown: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (shown,) int stratum by number of events and age of the last one, 0 without an event.

    clock: of the same events.
    """
    count = np.bincount(before.owner, minlength=len(before.owners))[shown]
    age = last_age(before, clock)[shown]
    bounds = np.quantile(age[count > 0], np.linspace(0, 1, PARTS + 1)[1:-1]) if (count > 0).any() else np.zeros(0)
    busy = np.floor(np.log2(np.maximum(count, 1))).astype(np.int64)
    return np.where(count > 0, 1 + np.searchsorted(bounds, age) + PARTS * busy, 0)


def telling(blank: NDArray[np.bool_], met: NDArray[np.bool_], stratum: NDArray[np.int64], strict: bool = True) -> str:
    """Describe how blanks predict later events, or return "". All (n,).

    Compares within strata that hold both groups (Mantel and Haenszel 1959).
    strict: report also if almost none of one group have later events although many should. This test uses only rows
    with an earlier event, because other rows may differ for other reasons.
    """
    size = int(stratum.max(initial=0)) + 1
    n = np.stack([np.bincount(stratum[side], minlength=size) for side in (blank, ~blank)]).astype(float)
    y = np.stack([np.bincount(stratum[side & met], minlength=size) for side in (blank, ~blank)]).astype(float)
    both = (n > 0).all(axis=0)
    n, y, busy = n[:, both], y[:, both], np.flatnonzero(both) > 0
    if min(n.sum(axis=1)) < FEW:
        return ""
    total, rate, weight = n.sum(axis=0), y.sum(axis=0) / n.sum(axis=0), n.prod(axis=0) / n.sum(axis=0)
    spread = np.sqrt((n.prod(axis=0) * rate * (1 - rate) / np.maximum(total - 1, 1)).sum())
    if abs((y[0] - n[0] * rate).sum()) < SURE * max(float(spread), 1e-9):
        return ""
    gap = abs(float((weight * (y[0] / n[0] - y[1] / n[1])).sum() / weight.sum()))
    if gap >= GAP or (strict and _too_few(n[:, busy], y[:, busy], rate[busy])):
        shares = y.sum(axis=1) / n.sum(axis=1)
        return (
            f"{shares[0]:.0%} of {n[0].sum():.0f} blank rows had later events, {shares[1]:.0%} of {n[1].sum():.0f} "
            "others with equal earlier activity"
        )
    return ""


def _too_few(n: NDArray[Any], y: NDArray[Any], rate: NDArray[Any]) -> bool:
    """Return whether at most the share LEAST of one group's predicted rows have (or lack) later events."""
    if n.sum(axis=1).min() < RARE * n.sum():
        return False
    for seen, expected in ((y, n * rate), (n - y, n * (1 - rate))):
        found, wanted = seen.sum(axis=1), expected.sum(axis=1)
        if ((wanted >= EXPECTED) & (found <= LEAST * wanted)).any():
            return True
    return False


_LOG = logging.getLogger(__name__)
_TABLES = {Entity.USER: ("users.parquet", USERS), Entity.STARTUP: ("startups.parquet", STARTUPS)}


def withhold(staged: Snapshot, folder: Path) -> dict[str, dict[str, str]]:
    """Blank every profile column whose blanks at the validation split predict later events.

    Returns by side and column how they predict. Writes changed files to `folder`.
    """
    at, share = staged.heard.at, float(staged.manifest["settings"]["holdout_share"])
    cut_us = leaving(at, share) if len(at) else 0
    clock = EventTime.from_times(staged.before(cut_us).at)
    found = {f"{entity}s": dict(_telling(staged, entity, cut_us, clock)) for entity in Entity}
    for entity, (file, schema) in _TABLES.items():
        columns = found[f"{entity}s"]
        if columns:
            table = pq.read_table(folder / file)
            for name, how in columns.items():
                table = table.set_column(schema.get_field_index(name), schema.field(name), pa.array([""] * len(table)))
                _LOG.warning(
                    "the column %s of %ss is left out of this build: it is filled, or blank, because of later events "
                    "(at the validation split, %s)",
                    name,
                    entity,
                    how,
                )
            (folder / file).unlink()
            with RowGroups(folder / file, schema) as groups:
                groups.write(table)
    return found


def _telling(staged: Snapshot, entity: Entity, cut_us: int, clock: EventTime) -> Iterator[tuple[str, str]]:
    events, before = staged.interactions(), staged.before(cut_us)
    if entity is Entity.STARTUP:
        events, before = events.transposed(), before.transposed()
    now, then = staged.entities(entity), staged.entities(entity, cut_us)
    shown = np.flatnonzero(then.listed & (then.count > 0) if now.all_met else then.listed)
    met, strata = met_from(events, cut_us, len(then))[shown], equally_busy(before, clock, shown)
    for name, blank in staged.blanks(entity, cut_us).items():
        how = telling(blank[shown], met, strata)
        if how:
            yield name, how
