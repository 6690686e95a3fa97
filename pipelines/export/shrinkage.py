"""Compare a new snapshot with the newest earlier one: rows before the earlier cutoff must still exist.

People and startups are compared by id, events one by one. An erasure rewrites every stored snapshot. Memory holds a
few numbers per event of both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.entities import IdMap
from models.errors import DataError, SnapshotShrunk
from pipelines.export.checks import EventRows
from pipelines.export.snapshot import Snapshot, read_manifest
from pipelines.run.run import Run, log_decision, parse_instant

_LOG = logging.getLogger(__name__)
#: Rows that may be missing from any table, however small it is.
FEW = 10


class MissingRows(NamedTuple):
    """One table: rows in the earlier snapshot, and how many are gone."""

    rows: int
    gone: int

    @property
    def share(self) -> float:
        return self.gone / max(self.rows, 1)


def check_missing_rows(run: Run, new: Snapshot, force: bool = False) -> None:
    """Compare a new snapshot with the newest stored one of the same or an earlier cutoff.

    Raises SnapshotShrunk if a table lacks more than [export] missing_share of the earlier rows, unless `force`.
    """
    earlier = _earlier(run)
    if earlier is None:
        return
    old = Snapshot.open(earlier)
    limit = run.settings.export.missing_share
    missing = {t: g for t, g in missing_rows(old, new).items() if g.gone > FEW and g.share > limit}
    if not missing:
        return
    losses = ", ".join(f"{g.gone} of {g.rows} {table} ({g.share:.0%})" for table, g in missing.items())
    reason = f"{losses} of snapshot {old.name} are gone before {run.as_of.isoformat()}; {limit:.0%} may be"
    log_decision(
        run.settings, "snapshot", "go" if force else "stop", [reason], earlier=old.name, run=run.id, forced=force
    )
    if not force:
        raise SnapshotShrunk(
            f"{reason}. Nothing was stored or trained, the live lists stay. Check that the platform's tables are "
            "complete and that matchbook_users, matchbook_startups and matchbook_interactions read the right ones, "
            "then clear this task; if the rows were deleted on purpose, start the build with `force` or set "
            "[export] missing_share to 1"
        )
    _LOG.warning("forced: %s", reason)


def missing_rows(old: Snapshot, new: Snapshot) -> dict[str, MissingRows]:
    """Count the rows of `old` before both cutoffs that `new` lacks, for each table."""
    user, startup = new.user_ids.rows_of(old.user_ids.ids), new.startup_ids.rows_of(old.startup_ids.ids)
    earlier, now = old.interactions().before(new.as_of_us), new.interactions().before(old.as_of_us)
    mine = EventRows(user[earlier.owner], startup[earlier.item], earlier.kind, earlier.at)
    mine = mine.where((mine.user >= 0) & (mine.startup >= 0))
    theirs = EventRows(now.owner, now.item, now.kind, now.at)
    found = len(mine.at) - _missing(mine, theirs, len(new.users))
    return {
        "users": _of(old.user_ids, user),
        "startups": _of(old.startup_ids, startup),
        "interactions": MissingRows(len(earlier), len(earlier) - found),
    }


def _missing(old: EventRows, new: EventRows, users: int) -> int:
    """Count the events of `old` that `new` lacks. Both ascend, and none repeats.

    Most users have the same events in both, which needs one comparison of rows instead of a search.
    """
    changed = np.bincount(old.user, minlength=users) != np.bincount(new.user, minlength=users)
    mine, theirs = (rows.where(~changed[rows.user]) for rows in (old, new))
    equal = (mine.startup == theirs.startup) & (mine.kind == theirs.kind) & (mine.at == theirs.at)
    changed[mine.user[~equal]] = True
    mine, theirs = (rows.where(changed[rows.user]) for rows in (old, new))
    return int((~np.isin(_keys(*mine), _keys(*theirs))).sum())


def _of(ids: IdMap, row: NDArray[np.int32]) -> MissingRows:
    there = ~ids.blank
    return MissingRows(int(there.sum()), int((there & (row < 0)).sum()))


def _keys(
    user: NDArray[np.int32], startup: NDArray[np.int32], kind: NDArray[np.int8], at: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Return (n,) uint64 hash of each event (SplitMix64 mixing). Two events collide once in about 2**64."""
    x = np.zeros(len(at), np.uint64)
    for column in (user, startup, kind, at):
        x = (x ^ column.astype(np.int64).view(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        x = x ^ (x >> np.uint64(29))
    return x


def _earlier(run: Run) -> Path | None:
    """Return the newest stored snapshot of this or an earlier cutoff."""
    found = [
        (parse_instant(about["as_of"]), (path / "manifest.json").stat().st_mtime, path)
        for path, about in _readable(run)
        if parse_instant(about["as_of"]) <= run.as_of
    ]
    return max(found)[2] if found else None


def _readable(run: Run) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in run.artifacts.stored("snapshots"):
        try:
            yield path, read_manifest(path)
        except DataError as error:
            _LOG.warning("not compared with a stored snapshot: %s", error)
