"""Export the platform's rows before a cutoff: read in one transaction, check, sort, rename into place.

The reading needs about 50 bytes a person, and the events of 1/64 of the users. The checks of the whole snapshot need
its profiles and a few numbers an event.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection, text
from tqdm import tqdm

import sql
from models.data.bundle import sha256_of
from models.data.entities import unpack_ids
from models.errors import EmptySnapshot
from models.schema import INTERACTION_TYPES, Entity, words_by_code
from pipelines.erased import read_erased
from pipelines.export.checks import Census, EventRows, Parts, Rejected, check_contract
from pipelines.export.copy_rows import (
    EventCells,
    People,
    Pieces,
    as_bytes,
    copy_events,
    copy_tables,
    instants,
    packed_ids,
)
from pipelines.export.layout import (
    DISMISSALS,
    FILES,
    FORMAT,
    INSTANT,
    INTERACTIONS,
    MANIFEST,
    READINGS,
    STARTUPS,
    USERS,
    RowGroups,
)
from pipelines.export.shrinkage import check_missing_rows
from pipelines.export.snapshot import Snapshot, digest_of
from pipelines.export.view_readings import copied_readings, keep_readings, of_rows, source_of_views, store_counts
from pipelines.export.withheld import withhold
from pipelines.postgres import engine, transaction
from pipelines.refs import BuildRef
from pipelines.run.run import Run, microseconds
from pipelines.store.artifacts import write_private

logger = logging.getLogger(__name__)
EVENTS = "matchbook_interactions"
#: The earliest instant of Python's calendar.
_YEAR_1_US = microseconds(datetime(1, 1, 1, tzinfo=UTC))
_WORDS = np.array(words_by_code(INTERACTION_TYPES), dtype=object)


def take_snapshot(run: Run, build: BuildRef, force: bool = False) -> BuildRef:
    """The step: export a snapshot and return the build reference with its name."""
    return replace(build, snapshot=export_snapshot(run, build.fresh, force))


def export_snapshot(run: Run, fresh: bool = False, force: bool = False) -> str:
    """Store the snapshot of the run's cutoff and return its name. Reuse a stored one unless `fresh`.

    Also stores each person's interaction count at the cutoff (N07) and a reading of the view counters. Nothing is
    visible before the last rename, so the export may be killed at any time.
    Raises EmptySnapshot without an event before the cutoff (P01), DataError above [export] rejected_share,
    ContractError for a wrong view, SnapshotShrunk if rows of an earlier snapshot are gone (unless `force`).
    """
    stored = None if fresh else run.stored_snapshot()
    name, snapshot = _exported(run, force) if stored is None else (stored.name, Snapshot.open(stored))
    ids = {Entity.USER: snapshot.users["user_id"], Entity.STARTUP: snapshot.startups["startup_id"]}
    with ThreadPoolExecutor(1) as pool:
        readings = pool.submit(keep_readings, engine(run.settings))
        store_counts(engine(run.settings), run.as_of, {e: (ids[e], snapshot.counts(e)) for e in Entity})
        readings.result()
    return name


def _exported(run: Run, force: bool) -> tuple[str, Snapshot]:
    """Return the name of a new snapshot and its rows, with the columns that it withholds."""
    staging = run.directory / f"snapshot-{uuid.uuid4().hex[:8]}"
    staging.mkdir(parents=True, mode=0o700)
    try:
        facts = _Export(run, staging).facts()
        staged = _staged(run, staging, facts)
        with ThreadPoolExecutor(1) as pool:
            compared = pool.submit(check_missing_rows, run, staged, force)
            facts["withheld"] = withhold(staged, staging)
            compared.result()
        return _place(run, staging, _manifest(run, staging, facts)), staged
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Export:
    """One export in progress. `facts` returns the manifest's content. `staging` holds the files."""

    def __init__(self, run: Run, staging: Path) -> None:
        self.run, self.staging = run, staging
        self.params = {"as_of": run.as_of, "kinds": [t.value for t in INTERACTION_TYPES]}
        self.broken = self.later = self.strangers = 0
        self.dismissed: list[NDArray[Any]] = []
        self.earliest_us = microseconds(run.settings.earliest_at)

    def facts(self) -> dict[str, Any]:
        with Rejected(self.staging / "rejected.parquet") as self.rejected:
            self._read()
            there_users, there_startups = (
                self.users.born | self.parts.met_users,
                self.startups.born | self.parts.met_startups,
            )
            census = self._write_events(there_users, there_startups)
            dismissals = self._write_dismissals(there_users, there_startups)
            readings = self._write_readings(there_startups)
            kept = {
                self.users.view: self.users.write(there_users),
                self.startups.view: self.startups.write(there_startups),
                EVENTS: int(census.kinds.sum()),
            }
        orphans = self._check(kept)
        names = ("users", "startups", "interactions")
        counts = dict(zip(names, kept.values(), strict=True)) | {"dismissals": dismissals}
        return {
            "counts": {**counts, "rejected": self.rejected.by_reason.total(), "later_interactions": self.later},
            "rejected": dict(self.rejected.by_reason),
            "orphans": orphans,
            **census.facts(),
            "views": source_of_views(readings, census.facts()["events_per_week"], self.run.settings.holdout.share),
        }

    def _read(self) -> None:
        """Read everything from the platform in one repeatable-read transaction."""
        source = engine(self.run.settings)
        check_contract(source)
        with transaction(
            source.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        ) as connection:
            self.erased = read_erased(connection)
            self.readings: list[pa.Table] = []
            with self._people("users", USERS) as self.users, self._people("startups", STARTUPS) as self.startups:
                self._read_rows(connection)
            self.later, *self.later_at = connection.execute(text(sql.load("events/later")), self.params).one()
            if self.rejected.orphans[EVENTS]:
                self.strangers = connection.scalar(text(sql.load("events/strangers")), self.params) or 0

    def _read_rows(self, connection: Connection) -> None:
        with Pieces() as aside, tqdm(desc="events", unit="", unit_scale=True, disable=None) as self.bar:
            copy_tables(connection, "users", self.params, self.users.take, aside)
            copy_tables(connection, "startups", self.params, self.startups.take, aside)
            aside(self._know_people)
            copy_events(connection, self.params, self._take, aside)
            copy_tables(connection, "view_readings", self.params, self._take_readings, aside)
            copy_tables(connection, "events/dismissals", self.params, self._take_dismissals, aside)
        with Pieces() as aside:
            if self.broken:
                copy_tables(connection, "events/broken", self.params, self._set_aside_broken, aside)

    def _people(self, name: str, schema: pa.Schema) -> People:
        return People(
            f"matchbook_{name}",
            self.staging / f"{name}.parquet",
            schema,
            self.run.as_of_us,
            self.earliest_us,
            self.rejected,
            self.erased,
        )

    def _know_people(self) -> None:
        self.user_rows, self.startup_rows = self.users.rows(), self.startups.rows()
        self.parts = Parts(self.staging / "parts", len(self.user_rows), len(self.startup_rows))

    def _take(self, events: EventCells) -> None:
        """Sort one piece of events and reject unknown people. Broken rows are read again later as text."""
        self.bar.update(len(events.kind))
        user, startup = self.user_rows.of(events.user), self.startup_rows.of(events.startup)
        whole = events.kind >= 0
        self.broken += int((~whole).sum())
        whole &= ~self._of_erased(events, user, startup)
        early = whole & (events.at < self.earliest_us)
        whole &= ~early
        for mask, reason in (
            (early, f"before {self.run.settings.export.earliest}"),
            (whole & (user < 0), "unknown user"),
            (whole & (user >= 0) & (startup < 0), "unknown startup"),
        ):
            self.rejected.add(
                EVENTS,
                int(mask.sum()),
                user_id=_ids(events.user[mask]),
                startup_id=_ids(events.startup[mask]),
                interaction_type=_WORDS[events.kind[mask]],
                occurred_at=pa.array(np.maximum(events.at[mask], _YEAR_1_US), INSTANT),
                reason=reason,
            )
        good = whole & (user >= 0) & (startup >= 0)
        self.parts.add(user[good], startup[good], events.kind[good], events.at[good])

    def _take_dismissals(self, table: pa.Table) -> None:
        """Keep dismissals of known people and startups, (n, 3) int64."""
        user, startup = self.user_rows.of_text(table["user_id"]), self.startup_rows.of_text(table["startup_id"])
        found = np.stack([user, startup, instants(table["at"]).cast(pa.int64()).to_numpy()], axis=1).astype(np.int64)
        self.dismissed.append(found[(user >= 0) & (startup >= 0)])

    def _write_dismissals(self, there_users: NDArray[np.bool_], there_startups: NDArray[np.bool_]) -> int:
        user, startup, at = np.concatenate([np.zeros((0, 3), np.int64), *self.dismissed]).T
        stay = there_users[user] & there_startups[startup]
        columns = [
            (np.cumsum(there) - 1)[rows[stay]] for there, rows in ((there_users, user), (there_startups, startup))
        ]
        order = np.lexsort((columns[1], columns[0]))
        with RowGroups(self.staging / "dismissals.parquet", DISMISSALS) as groups:
            groups.write(
                pa.table(
                    [pa.array(c[order], f.type) for c, f in zip((*columns, at[stay]), DISMISSALS, strict=True)],
                    schema=DISMISSALS,
                )
            )
        return int(stay.sum())

    def _take_readings(self, table: pa.Table) -> None:
        self.readings.append(copied_readings(self.startup_rows, table))

    def _of_erased(self, events: EventCells, user: NDArray[np.int32], startup: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return (n,) bool: belongs to an erased person. Only unknown ids need a lookup."""
        found = np.zeros(len(events.kind), bool)
        for ids, rows in ((events.user, user), (events.startup, startup)):
            unknown = np.flatnonzero(rows < 0)
            found[unknown] |= self.erased.mask(as_bytes(ids[unknown]))
        return found

    def _set_aside_broken(self, table: pa.Table) -> None:
        for column in ("user_id", "startup_id"):
            table = table.filter(pa.array(~self.erased.mask(as_bytes(packed_ids(table[column])))))
        self.rejected.add(
            EVENTS,
            len(table),
            user_id=table["user_id"],
            startup_id=table["startup_id"],
            interaction_type=table["interaction_type"],
            reason=table["reason"],
            occurred_at=instants(
                pa.compute.if_else(pa.compute.equal(table["occurred_at"], ""), None, table["occurred_at"])
            ),
        )

    def _write_events(self, there_users: NDArray[np.bool_], there_startups: NDArray[np.bool_]) -> Census:
        """Write events in order with the snapshot's row numbers. Reject duplicates."""
        census = Census()
        user_row, startup_row = np.cumsum(there_users) - 1, np.cumsum(there_startups) - 1
        with RowGroups(self.staging / "interactions.parquet", INTERACTIONS) as groups:
            for kept, again in self.parts.in_order():
                census.add(kept.kind, kept.at)
                columns = (user_row[kept.user], startup_row[kept.startup], kept.kind, kept.at)
                groups.write(
                    pa.table(
                        [pa.array(c, f.type) for c, f in zip(columns, INTERACTIONS, strict=True)], schema=INTERACTIONS
                    )
                )
                self._set_aside_repeated(again)
        (self.staging / "parts").rmdir()
        return census

    def _write_readings(self, there_startups: NDArray[np.bool_]) -> pa.Table:
        row = np.where(there_startups, np.cumsum(there_startups) - 1, -1)
        readings = of_rows(pa.concat_tables([READINGS.empty_table(), *self.readings]), row)
        with RowGroups(self.staging / "readings.parquet", READINGS) as groups:
            groups.write(readings)
        return readings

    def _set_aside_repeated(self, again: EventRows) -> None:
        self.rejected.add(
            EVENTS,
            len(again.at),
            user_id=_ids(self.user_rows.packed[again.user]),
            startup_id=_ids(self.startup_rows.packed[again.startup]),
            interaction_type=_WORDS[again.kind],
            occurred_at=pa.array(again.at, INSTANT),
            reason="duplicate",
        )

    def _check(self, kept: dict[str, int]) -> dict[str, int]:
        """Check the limits. Return the number of orphan rows by source.

        Raises DataError or EmptySnapshot, and keeps the file of rejected rows.
        """
        aside = self.run.directory / "rejected.parquet"
        with _kept_on_error(self.staging / "rejected.parquet", aside):
            self.rejected.check(kept, self.run.settings.export.rejected_share, aside)
            orphans = self.rejected.check_orphans(
                EVENTS, kept[EVENTS], self.strangers, self.run.settings.export.orphan_share
            )
        if not kept[EVENTS]:
            first, last = (f"{at}"[:19] for at in self.later_at)
            raise EmptySnapshot(
                f"expected at least one interaction before {self.run.as_of.isoformat()}, found none; before it are "
                f"{kept[self.users.view]} users, {kept[self.startups.view]} startups; "
                + (
                    f"at or after it are {self.later} interactions from {first} to {last}: choose a later cutoff"
                    if self.later
                    else "load some with `python -m pipelines import <folder>` or `sample`, or check that "
                    "matchbook_interactions reads the right table"
                )
            )
        return orphans


@contextmanager
def _kept_on_error(path: Path, kept: Path) -> Iterator[None]:
    try:
        yield
    except Exception:
        path.replace(kept)
        raise


def _staged(run: Run, staging: Path, facts: dict[str, Any]) -> Snapshot:
    about = {"as_of": run.as_of.isoformat(), "settings": run.settings.recorded(), "views": facts["views"]}
    names = ("users", "startups", "interactions", "readings")
    users, startups, events, readings = (pq.read_table(staging / f"{name}.parquet") for name in names)
    return Snapshot("staged", about, users, startups, events, readings=readings)


def _manifest(run: Run, staging: Path, facts: dict[str, Any]) -> dict[str, Any]:
    manifest = {
        "format": FORMAT,
        "as_of": run.as_of.isoformat(),
        "slug": run.slug,
        "settings": run.settings.recorded(),
        **facts,
        "profiles_as_of": "export time",
        "sha256": {file: sha256_of(staging / file) for file in FILES},
        "created_at": datetime.fromtimestamp((staging / "users.parquet").stat().st_mtime, UTC).isoformat(
            timespec="seconds"
        ),
    }
    manifest["digest"] = digest_of(manifest)
    write_private(staging / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
    return manifest


def _place(run: Run, staging: Path, manifest: dict[str, Any]) -> str:
    path = run.artifacts.place("snapshots", f"{run.slug}-{manifest['digest'][:8]}", lambda aside: _move(staging, aside))
    os.utime(path / MANIFEST)  # a repeated export of old content becomes the newest of its cutoff
    logger.info("snapshot %s: %s", path.name, ", ".join(f"{n} {what}" for what, n in manifest["counts"].items()))
    return path.name


def _move(staging: Path, target: Path) -> None:
    for file in (*FILES, MANIFEST):
        (staging / file).rename(target / file)


def _ids(packed: NDArray[np.void]) -> NDArray[np.str_]:
    return unpack_ids(as_bytes(packed))
