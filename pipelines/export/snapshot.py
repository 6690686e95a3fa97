"""Read or make a snapshot: the events, people, startups and profiles before one cutoff."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.data.bundle import sha256_of
from models.data.entities import UNKNOWN_TIME, Entities, IdMap
from models.data.interactions import Interactions, Pairs
from models.errors import DataError
from models.schema import FACETS, INTERACTION_TYPES, TABLE_OF, Entity, EventType, Role
from models.settings.settings import Settings
from models.words import folded, most_frequent_spellings
from pipelines.export.checks import Census, in_order, repeated
from pipelines.export.layout import (
    DISMISSALS,
    FORMAT,
    INSTANT,
    INTERACTIONS,
    MANIFEST,
    READABLE,
    READINGS,
    STARTUPS,
    USERS,
    filled,
)
from pipelines.export.view_readings import FROM_EVENTS, FROM_READINGS, newest, ordered, source_of_views
from pipelines.run.run import EPOCH, parse_instant

NEVER = np.iinfo(np.int64).max
#: Tables that a snapshot of format 1 lacks.
_LATER = ("dismissals", "readings")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The data known strictly before one cutoff. Objects made from a snapshot use its row numbers.

    name: `<slug>-<digest8>`. manifest: docs/guides/snapshots.md.
    users, startups, events, dismissals, readings: tables of `pipelines/export/layout.py`. Format 1 lacks the last two.
    """

    name: str
    manifest: Mapping[str, Any]
    users: pa.Table
    startups: pa.Table
    events: pa.Table
    dismissals: pa.Table = field(default_factory=DISMISSALS.empty_table)
    readings: pa.Table = field(default_factory=READINGS.empty_table)

    @classmethod
    def open(cls, path: Path) -> Snapshot:
        """Read a stored snapshot. Raises DataError if it is missing, of another format, or changed."""
        manifest = read_manifest(path)
        for file, sha in manifest["sha256"].items():
            if not (path / file).is_file() or sha256_of(path / file) != sha:
                raise DataError(
                    f"{path / file} differs from its manifest (truncated, tampered with or missing); "
                    "export it again with `python -m pipelines export --fresh`"
                )
        users, startups, events = (pq.read_table(path / f"{t}.parquet") for t in ("users", "startups", "interactions"))
        more = {t: pq.read_table(path / f"{t}.parquet") for t in _LATER if f"{t}.parquet" in manifest["sha256"]}
        return cls(path.name, manifest, filled(users, USERS), filled(startups, STARTUPS), events, **more)

    @classmethod
    def from_frames(
        cls,
        users: pd.DataFrame,
        startups: pd.DataFrame,
        interactions: pd.DataFrame,
        as_of: str,
        settings: Mapping[str, Any] | None = None,
        name: str = "memory",
        readings: pd.DataFrame | None = None,
    ) -> Snapshot:
        """Make a snapshot from frames with the contract's columns. Times are ISO 8601 text.

        Absent columns are blank. Rows at or after the cutoff are left out. readings: startup_id, read_at, views.
        Raises DataError for a row that breaks the contract.
        """
        cutoff = parse_instant(as_of)
        tables = people_table(users, USERS), people_table(startups, STARTUPS)
        kept_users, kept_startups, events = events_table(*tables, interactions, _us(as_of))
        read = READINGS.empty_table() if readings is None else readings_table(kept_startups, readings, _us(as_of))
        census = Census()
        census.add(events["kind"].to_numpy(), events["at"].to_numpy())
        share = float((settings or {}).get("holdout_share", Settings().holdout.share))
        manifest = {
            "format": FORMAT,
            "as_of": cutoff.isoformat(),
            "settings": dict(settings or {}),
            "counts": {"users": len(kept_users), "startups": len(kept_startups), "interactions": len(events)},
            "views": source_of_views(read, census.facts()["events_per_week"], share),
        }
        return cls(name, manifest, kept_users, kept_startups, events, readings=read)

    @property
    def as_of_us(self) -> int:
        return _us(self.manifest["as_of"])

    @cached_property
    def user_ids(self) -> IdMap:
        return _ids(self.users["user_id"])

    @cached_property
    def startup_ids(self) -> IdMap:
        return _ids(self.startups["startup_id"])

    def interactions(self) -> Interactions:
        """Return all checked events before the cutoff, without duplicates, and the dismissed pairs.

        Owners are users, items are startups. Training and evaluation use `heard` instead.
        """
        return self._interactions

    def before(self, instant_us: int) -> Interactions:
        """Return `interactions()` before an instant. The last answer is kept, because callers ask for both sides."""
        found = self._interactions if instant_us == self.as_of_us else self._last.get(instant_us)
        if found is None:
            found = self._interactions.before(instant_us)
            self._last.clear()
            self._last[instant_us] = found
        return found

    @cached_property
    def past_names(self) -> dict[int, str]:
        """Names of earlier states by instant (pipelines/export/past.py)."""
        return {}

    @cached_property
    def _last(self) -> dict[int, Interactions]:
        return {}

    @cached_property
    def silent(self) -> NDArray[np.bool_]:
        """(users,) bool: opted out by the cutoff, so training and evaluation use none of their events (R23)."""
        return _times(self.users["opted_out_at"], NEVER) < self.as_of_us

    @cached_property
    def heard(self) -> Interactions:
        """Return events of users who did not opt out."""
        events = self._interactions
        return events.where(~self.silent[events.owner]) if self.silent.any() else events

    def counts(self, entity: Entity) -> NDArray[np.int64]:
        """Return (n,) int64 interaction count of each user or startup at the cutoff (R09)."""
        user, startup = self._interactions.owner, self._interactions.item
        if entity is Entity.USER:
            return np.bincount(user, minlength=len(self.users))
        new = np.ones(len(user), bool)  # events ascend by pair
        new[1:] = (user[1:] != user[:-1]) | (startup[1:] != startup[:-1])
        return np.bincount(startup[new], minlength=len(self.startups))

    def entities(self, entity: Entity, before_us: int | None = None) -> Entities:
        """Return all people or startups just before an instant (default: the cutoff), with constant row numbers.

        Rows that did not exist yet are not `listed`. A row exists if created_at is blank or earlier, or if it has an
        earlier event. count: events of all kinds (R09). views: see `views_from` (R05). interactions: all other events.
        Raises DataError for an instant after the cutoff.
        """
        instant = self.as_of_us if before_us is None else before_us
        if instant > self.as_of_us:
            raise DataError(
                f"{self.name} holds nothing from {self.manifest['as_of']} on; ask for an instant up to that cutoff"
            )
        events = self.before(instant)
        return (
            self._users_at(events, instant)
            if entity is Entity.USER
            else self._startups_at(events.transposed(), instant)
        )

    def profiles(self, entity: Entity, before_us: int | None = None) -> dict[str, list[str]]:
        """Return profile texts of every row by column name of the CSV layout, blank where unknown.

        Texts are as of the export, because the platform keeps no history. If `stage_known` is "first_event", a stage
        is blank until the startup's first event.
        """
        table = self.users if entity is Entity.USER else self.startups
        words = {c: table[c].to_pylist() for c in TABLE_OF[entity].text}
        if entity is Entity.STARTUP:
            words["stage"] = self._stage(self.as_of_us if before_us is None else before_us).tolist()
        return words

    def blanks(self, entity: Entity, before_us: int) -> dict[str, NDArray[np.bool_]]:
        """Return (n,) bool for each column of `profiles`: the text is blank."""
        table = self.users if entity is Entity.USER else self.startups
        found = {c: pc.equal(pc.fill_null(table[c], ""), "").to_numpy() for c in TABLE_OF[entity].text}
        if entity is Entity.STARTUP:
            found["stage"] = self._stage(before_us) == ""
        return found

    @property
    def views_from(self) -> str:
        """Return the source of view counts: "readings" of the platform's counter, or view "events".

        One choice per snapshot makes the validation split and the cutoff comparable.
        """
        return str(self.manifest.get("views", {}).get("from", FROM_EVENTS))

    @cached_property
    def stage_known(self) -> str:
        """Return when a stage becomes known: "always", or from the "first_event".

        With `auto`, "first_event" holds if no startup without an event has a stage. An earlier use would leak the
        future.
        """
        asked = str(self.manifest["settings"].get("stage_known", "always"))
        if asked != "auto":
            return asked
        met = np.bincount(self._interactions.item, minlength=len(self.startups)) > 0
        return "always" if (_words(self.startups["stage"])[~met] != "").any() else "first_event"

    @cached_property
    def _interactions(self) -> Interactions:
        user, startup, kind, at = (self.events[c].to_numpy() for c in ("user", "startup", "kind", "at"))
        gone = Pairs(*(self.dismissals[c].to_numpy() for c in ("user", "startup", "at")))
        return Interactions(self.user_ids, self.startup_ids, user, startup, kind, at, gone)

    def _users_at(self, events: Interactions, instant: int) -> Entities:
        n, created = len(self.users), _times(self.users["created_at"], UNKNOWN_TIME)
        views, others = _totals(events, n)
        opted_out = _times(self.users["opted_out_at"], NEVER) < instant
        there = ((created < instant) | (views + others > 0)) & ~self.user_ids.blank
        facets, labels = _facets({f: _words(self.users[f]) for f in TABLE_OF[Entity.USER].facets}, n)
        return Entities(
            Entity.USER,
            self.user_ids,
            role=_roles(self.users["role"]),
            listed=there & ~opted_out,
            opted_out=opted_out,
            founder=np.full(n, -1, np.int32),
            created_at=created,
            views=views,
            interactions=others,
            count=events.counts(),
            facets=facets,
            labels=labels,
            withheld=tuple(self.manifest.get("withheld", {}).get("users", ())),
        )

    def _startups_at(self, events: Interactions, instant: int) -> Entities:
        n, created = len(self.startups), _times(self.startups["created_at"], UNKNOWN_TIME)
        viewed, others = _totals(events, n)
        there = ((created < instant) | (viewed + others > 0)) & ~self.startup_ids.blank
        withdrawn = _times(self.startups["withdrawn_at"], NEVER) < instant
        words = {f: _words(self.startups[f]) for f in TABLE_OF[Entity.STARTUP].facets}
        words |= {"stage": self._stage(instant)}
        facets, labels = _facets(words, n)
        founder = self.user_ids.rows_of(_words(self.startups["founder_id"]))
        return Entities(
            Entity.STARTUP,
            self.startup_ids,
            role=np.full(n, -1, np.int8),
            listed=there & ~withdrawn,
            opted_out=np.zeros(n, bool),
            founder=founder,
            created_at=created,
            views=self._counter(viewed, instant),
            interactions=others,
            count=events.distinct_counts(),
            facets=facets,
            labels=labels,
            withheld=tuple(self.manifest.get("withheld", {}).get("startups", ())),
        )

    def views(self, events: Interactions, instant: int) -> NDArray[np.int64]:
        """Return (startups,) int64 views before the instant: the platform's counter, or these events by startup."""
        return self._counter(_totals(events, len(self.startups))[0], instant)

    def _counter(self, viewed: NDArray[np.int64], instant: int) -> NDArray[np.int64]:
        """Return (startups,) int64 newest reading before the instant, or else the view events (R05)."""
        if self.views_from != FROM_READINGS:
            return viewed
        read = newest(self.readings, instant, len(viewed))
        return np.where(read >= 0, read, viewed)

    def _stage(self, instant: int) -> NDArray[np.object_]:
        stage = _words(self.startups["stage"])
        if self.stage_known == "always":
            return stage
        met = self.before(instant).item
        return np.where(np.bincount(met, minlength=len(stage)) > 0, stage, "")


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a stored snapshot. Raises DataError."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        known = manifest["format"] in READABLE
        changed = known and manifest["digest"] != digest_of(manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"expected a snapshot in {path}, found no readable {MANIFEST} ({error}); run `python -m pipelines export`"
        ) from error
    if not known:
        raise DataError(
            f"{path} has format {manifest['format']}, this version reads {', '.join(map(str, READABLE))}; export it "
            "again with --fresh (M07)"
        )
    if changed:
        raise DataError(
            f"{path / MANIFEST} was changed since it was written; "
            "export it again with `python -m pipelines export --fresh`"
        )
    return dict(manifest)


def digest_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of three parts: all files except rejected rows, the settings, the marks of later erasures."""
    shaping = {file: sha for file, sha in manifest["sha256"].items() if file != "rejected.parquet"}
    parts = [manifest["format"], shaping, manifest["settings"], *manifest.get("erased", [])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _us(instant: str) -> int:
    delta = parse_instant(instant) - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _words(column: pa.ChunkedArray) -> NDArray[np.object_]:
    return np.asarray(pc.fill_null(column, "").to_numpy(), dtype=object)


def _ids(column: pa.ChunkedArray) -> IdMap:
    return IdMap(column.to_numpy().astype("<U36"))


def _times(column: pa.ChunkedArray, blank: int) -> NDArray[np.int64]:
    """(n,) int64 microseconds since 1970 UTC."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), blank).to_numpy())


def _roles(column: pa.ChunkedArray) -> NDArray[np.int8]:
    """Return (n,) int8 code of Role, -1 for any other text."""
    written = pc.dictionary_encode(pc.fill_null(column, "").combine_chunks())
    codes = {None: -1} | {role: role.code for role in Role}
    code = [codes[Role.of(word)] for word in written.dictionary.to_pylist()]
    return np.array(code or [-1], np.int8)[written.indices.to_numpy()]


def _totals(events: Interactions, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return two (n,) int64 counts per owner: view events, and all other events."""
    viewed = events.kind == EventType.VIEW.code
    views = np.bincount(events.owner[viewed], minlength=n)
    return views.astype(np.int64), (np.bincount(events.owner, minlength=n) - views).astype(np.int64)


def _facets(
    words: Mapping[str, NDArray[np.object_]], n: int
) -> tuple[dict[str, NDArray[np.int32]], dict[str, tuple[str, ...]]]:
    """Return a code per row (-1 if blank) for each facet, and the label of each code.

    Labels are ordered by folded text. Variants of one value share a code and their most frequent label.
    """
    codes, labels = {}, {}
    for facet in FACETS:
        place, written = pd.factorize(words.get(facet, np.full(n, "", object)))
        counted = list(zip(written.tolist(), np.bincount(place, minlength=len(written)).tolist(), strict=True))
        shown = dict(sorted(most_frequent_spellings(counted).items()))
        code = {word: i for i, word in enumerate(shown)}
        codes[facet] = np.array([code.get(folded(text), -1) for text, _ in counted] or [-1], np.int32)[place]
        labels[facet] = tuple(shown.values())
    return codes, labels


def people_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Sort users or startups by id, with every column of the schema. Raises DataError for a repeated id."""
    ids = frame[schema.names[0]].str.lower()
    if ids.duplicated().any():
        raise DataError(f"expected every {schema.names[0]} once, got {ids[ids.duplicated()].iloc[0]} again")
    frame = frame.assign(**{schema.names[0]: ids}).sort_values(schema.names[0])
    return pa.table([_column(frame, field) for field in schema], schema=schema)


def events_table(
    users: pa.Table, startups: pa.Table, frame: pd.DataFrame, as_of_us: int
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return the (users, startups, events) that existed before the cutoff. Raises DataError for a broken row."""
    at = _instants(frame["occurred_at"]) if len(frame) else np.zeros(0, np.int64)
    frame, at = frame[at < as_of_us], at[at < as_of_us]
    columns: dict[str, NDArray[Any]] = {
        "user": _places(frame["user_id"], users["user_id"]),
        "startup": _places(frame["startup_id"], startups["startup_id"]),
        "kind": codes_of(frame["interaction_type"].str.lower()),
    }
    for name, places in columns.items():
        if (places < 0).any():
            strays = frame[places < 0].head(3).to_string(index=False)
            raise DataError(f"expected every {name} of the events to be known, got\n{strays}")
    user, startup, kind = columns.values()
    order = in_order(user, startup, at, kind)
    kept = order[~repeated(user[order], startup[order], at[order], kind[order])]
    there_u, there_s = existed(users, user, as_of_us), existed(startups, startup, as_of_us)
    arrays = [(np.cumsum(there_u) - 1)[user[kept]], (np.cumsum(there_s) - 1)[startup[kept]], kind[kept], at[kept]]
    events = pa.table([pa.array(a, f.type) for a, f in zip(arrays, INTERACTIONS, strict=True)], schema=INTERACTIONS)
    return users.filter(pa.array(there_u)), startups.filter(pa.array(there_s)), events


def codes_of(types: pd.Series) -> NDArray[np.int8]:
    """Return (n,) int8 code of each event's type, -1 if it is no interaction."""
    codes = {t.value: t.code for t in INTERACTION_TYPES}
    return np.asarray(types.map(codes).fillna(-1), np.int8)


def readings_table(startups: pa.Table, frame: pd.DataFrame, as_of_us: int) -> pa.Table:
    """Return readings of these startups before the cutoff. frame: startup_id, read_at, views."""
    at = _instants(frame["read_at"]) if len(frame) else np.zeros(0, np.int64)
    place = np.where(at < as_of_us, _places(frame["startup_id"], startups["startup_id"]), -1)
    return ordered(place, at, frame["views"].to_numpy(np.int64))


def existed(people: pa.Table, met: NDArray[np.int64], as_of_us: int) -> NDArray[np.bool_]:
    """Return (n,) bool: created before the cutoff or at an unknown time, or with an earlier event."""
    created = people["created_at"].cast(pa.int64())
    born = pc.fill_null(pc.less(created, as_of_us), True).to_numpy()
    return np.asarray(born | (np.bincount(met, minlength=len(people)) > 0))


def _places(words: pd.Series, known: pa.ChunkedArray) -> NDArray[np.int64]:
    place = pc.index_in(pa.array(words.str.lower(), pa.string()), value_set=known.combine_chunks())
    return np.asarray(pc.fill_null(place, -1).to_numpy(zero_copy_only=False), np.int64)


def _column(frame: pd.DataFrame, field: pa.Field) -> pa.Array:
    if field.name not in frame:
        return pa.array([""] * len(frame) if field.type == pa.string() else [None] * len(frame), field.type)
    if field.type == pa.string():
        return pa.array(frame[field.name].fillna("").astype(str), pa.string())
    if field.type == INSTANT:
        return pa.array(
            pd.to_datetime(frame[field.name].replace("", None), utc=True, format="ISO8601").astype(
                "datetime64[us, UTC]"
            ),
            INSTANT,
        )
    return pa.array(pd.to_numeric(frame[field.name].replace("", None)).astype("Int64"), field.type)


def _instants(column: pd.Series) -> NDArray[np.int64]:
    """(n,) int64 microseconds since 1970 UTC."""
    times = pd.to_datetime(column, utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    return np.asarray(times.astype("int64"), np.int64)
