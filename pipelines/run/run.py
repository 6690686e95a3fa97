"""One build: its id, its cutoff, its settings and where its files lie. Built once per task, never asks for now()."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from models.errors import DataError, SettingsError
from models.experiments import read_experiments
from models.recommender.surface import possible_rankers
from models.settings.idle import idle_choices
from models.settings.load import check_record
from models.settings.settings import Settings
from pipelines.refs import BuildRef
from pipelines.store.artifacts import Artifacts, append_private

_LOG = logging.getLogger(__name__)
#: The DAG whose runs are builds.
BUILD = "build_recommendations"
#: Below the artefact root: what `python -m pipelines tune` found.
TUNING = "tuning.json"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str) -> datetime:
    """An ISO 8601 instant or date, UTC where no zone is given. Raises DataError."""
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise DataError(f"expected an ISO 8601 instant such as 2024-05-01T00:00:00Z, got {text!r}") from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def slug_of(as_of: datetime) -> str:
    """`20130405T000001Z`, with microseconds only where there are any; slugs of equal form sort by time."""
    return as_of.strftime("%Y%m%dT%H%M%S") + (f".{as_of.microsecond:06d}" if as_of.microsecond else "") + "Z"


def directory_of(run_id: str, dag: str = BUILD) -> str:
    """A name for a run's staging directory: readable, safe on every disk, different for different run ids and DAGs."""
    run_id = run_id if dag == BUILD else f"{dag} {run_id}"
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", run_id)[:80].strip("-")
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def microseconds(instant: datetime) -> int:
    """Since 1970 UTC, exactly."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def _with_tuning(settings: Settings) -> tuple[Settings, str]:
    """With what `python -m pipelines tune` stored, if it did, and a line about it. Raises DataError where damaged."""
    path = settings.artifacts / TUNING
    if not path.is_file():
        return settings, ""
    try:
        note = json.loads(path.read_text())
        tuned = settings.with_tuned(note["settings"], f"tuning on {note.get('snapshot')}")
        used = {k: v for k, v in note["settings"].items() if tuned.origin(k) != settings.origin(k)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"expected what tuning found in {path}, got {error}; remove it or tune again") from error
    told = f"tuned on {note.get('snapshot')} before {note.get('cut')}: {json.dumps(used, sort_keys=True)}"
    return tuned, told if used else ""


@dataclass(frozen=True)
class Run:
    """One build. id names its staging directory, as_of is the cutoff: the instant before which it may know anything.

    overruled: a line for each setting that was recorded with the cutoff and is set otherwise now."""

    id: str
    as_of: datetime
    settings: Settings
    overruled: tuple[str, ...] = ()

    @classmethod
    def start(cls, settings: Settings, run_id: str, as_of: datetime, fresh: bool = False) -> Run:
        """Begin a build and record it. A cutoff built before keeps the settings of its snapshot, unless `fresh`; any
        other takes over what tuning found for the settings that nobody chose."""
        tuned, told = _with_tuning(settings)
        run = cls(run_id, as_of, tuned)
        snapshot = None if fresh else run.stored_snapshot()
        if snapshot is not None:
            where = f"recorded with {run.slug}"
            recorded = json.loads((snapshot / "manifest.json").read_text())["settings"]
            check_record(recorded, snapshot.name)
            run = cls(run_id, as_of, settings.with_recorded(recorded, where), tuned.overruled(recorded, where))
        for line in filter(None, run.overruled if snapshot is not None else [told]):
            _LOG.info(line)
        arms = (arm.apply(run.settings) for e in read_experiments(run.settings) for arm in e.arms)
        if idle := idle_choices([(s, possible_rankers(s)) for s in (run.settings, *arms)]):
            _LOG.warning("set, but without effect: %s", ", ".join(idle.values()))
        return run._recorded(fresh=fresh)

    @classmethod
    def refreshing(cls, settings: Settings, run_id: str, as_of: datetime, release: str) -> Run:
        """Begin a refresh of a stored release, with its settings. Raises ReleaseNotFound, ReleaseIncomplete."""
        recorded = Artifacts(settings).release(release).settings
        check_record(recorded, release)
        settings = settings.with_recorded(recorded, f"recorded with {release}")
        return cls(run_id, as_of, settings)._recorded(refreshes=release)

    @classmethod
    def open(cls, settings: Settings, run_id: str) -> Run:
        """The build that `start` recorded, in another task. Raises DataError."""
        path = settings.artifacts / "runs" / run_id / "run.json"
        if not path.is_file():
            raise DataError(f"no run {run_id!r} was started here ({path} is missing); start the build again")
        note = json.loads(path.read_text())
        recorded = settings.with_recorded(note["settings"])
        return cls(run_id, parse_instant(note["as_of"]), recorded, tuple(note.get("overruled", ())))

    def _recorded(self, **more: object) -> Run:
        about = {"id": self.id, "as_of": self.as_of.isoformat(), "settings": self.settings.recorded(), **more}
        about |= {"overruled": list(self.overruled)} if self.overruled else {}
        self.artifacts.write_json(self.directory / "run.json", about)
        return self

    def reference(self, **known: Any) -> BuildRef:
        """The reference of this build, with what is known of it."""
        return BuildRef(self.id, self.as_of.isoformat(), **known)

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.settings)

    @property
    def directory(self) -> Path:
        """Staging of this build."""
        return self.settings.artifacts / "runs" / self.id

    @property
    def slug(self) -> str:
        return slug_of(self.as_of)

    @property
    def as_of_us(self) -> int:
        """The cutoff in microseconds since 1970 UTC."""
        return microseconds(self.as_of)

    def stored_snapshot(self) -> Path | None:
        """The newest stored snapshot of this very cutoff."""
        mine = [p for p in self.artifacts.stored("snapshots") if p.name.rsplit("-", 1)[0] == self.slug]
        return max(mine, key=lambda p: (p / "manifest.json").stat().st_mtime) if mine else None


def begin(settings: Settings, run_id: str, as_of: datetime, because: str = "", fresh: bool = False) -> BuildRef:
    """Begin a build and record it; see `Run.start`."""
    run = Run.start(settings, run_id, as_of, fresh)
    return run.reference(because=because, fresh=fresh)


#: Below the artefact root.
LOG = "decisions.jsonl"


def log_decision(settings: Settings, what: str, verdict: str, reasons: Sequence[str], **more: Any) -> None:
    """Append {"at", "what", "verdict", "reasons", …}. what: "gate", "approval", "retrain", "refresh" …"""
    at = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 when it was decided; no list depends on it
    line = json.dumps({"at": at, "what": what, "verdict": verdict, "reasons": list(reasons), **more}, sort_keys=True)
    append_private(settings.artifacts / LOG, line)


def read_decisions(settings: Settings, most: int = 100) -> list[dict[str, Any]]:
    """The last `most` decisions, newest first; a line that was cut off by a crash is passed over."""
    path = settings.artifacts / LOG
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    for line in reversed(path.read_text().splitlines()):
        if len(found) == most:
            break
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


_ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("models", "pipelines", "sql")


@cache
def code_digest() -> str:
    """Twelve hex digits over every Python file and query that may shape a list; read once a process."""
    digest = hashlib.sha256()
    for path in sorted(p for part in _PARTS for p in (_ROOT / part).rglob("*") if p.suffix in (".py", ".sql")):
        digest.update(path.relative_to(_ROOT).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def code_version() -> str:
    """Version of the code and of the libraries that shape the numbers."""
    libraries = (f"{name}={metadata.version(name)}" for name in ("numpy", "scipy", "implicit", "torch"))
    return " ".join([f"matchbook={code_digest()}", *libraries])


AHEAD = timedelta(days=1)  # a client's clock or time zone may run ahead of ours; a mistyped year runs further


class Cutoff(NamedTuple):
    """The instant before which a run may know anything, and the rule that chose it, in words for the log."""

    at: datetime
    because: str


@dataclass(frozen=True)
class RunTimes:
    """What Airflow knows about one run.

    run_type: "scheduled", "backfill", "manual", "asset_triggered", "operator_triggered" …
    run_after: when the run was due; every run has it.
    logical_date: the date that a person or the timetable gave it; None for a manual run without one.
    data_interval_end: the end of the day (or hour) it covers; None where there is none.
    as_of: the parameter of that name, an ISO 8601 instant or None.
    started: when it really began; runs may wait, or be dated back to come first.
    """

    run_type: str
    run_after: datetime
    logical_date: datetime | None = None
    data_interval_end: datetime | None = None
    as_of: str | None = None
    started: datetime | None = None

    @property
    def timetabled(self) -> bool:
        """Whether the timetable, and not a person, says which interval this run covers."""
        return self.run_type in ("scheduled", "backfill")


def just_after(newest: datetime) -> datetime:
    """The cutoff that takes in everything up to this instant: a second after it, never after now."""
    return min(newest + timedelta(seconds=1), datetime.now(UTC))  # noqa: TID251 nothing later has happened


def passed(as_of: datetime, now: datetime | None = None) -> datetime:
    """A cutoff that somebody gave; one that is hardly ahead becomes `now`, by default the clock's. Raises
    SettingsError for one further in the future."""
    now = now or datetime.now(UTC)  # noqa: TID251 only to refuse what has not come
    if as_of > now + AHEAD:
        raise SettingsError(
            f"as_of={as_of.isoformat()} lies in the future of this run ({now.isoformat()}): its release would "
            "stand in the way of every later one, as an older cutoff never replaces a newer; give one that has passed"
        )
    return min(as_of, now)


def cutoff_of(run: RunTimes) -> Cutoff:
    """The end of a scheduled or backfilled interval, else `as_of`, else its date, else the run's own time.

    Raises SettingsError for a backfill that carries as_of and for an as_of in the future, DataError for one that
    cannot be read.
    """
    if run.timetabled:
        return _end_of_interval(run)
    now = max(run.run_after, run.started or run.run_after)
    if run.as_of:
        return Cutoff(passed(parse_instant(run.as_of), now), "the parameter as_of")
    if run.logical_date:
        return Cutoff(passed(run.logical_date, now), "the date this run was given")
    return Cutoff(run.run_after, "the run's own time, as it was given no date")


def _end_of_interval(run: RunTimes) -> Cutoff:
    if run.run_type == "backfill" and run.as_of:
        raise SettingsError(
            f"a backfill takes each day's cutoff from the day itself, but its configuration carries as_of="
            f"{run.as_of!r}, which would build the same day again and again; start it without as_of, or trigger "
            "a single run with it"
        )
    if run.data_interval_end is None:
        raise SettingsError(
            f"expected a {run.run_type} run to cover an interval, got none; "
            "give the DAG a timetable with data intervals"
        )
    word = "backfilled" if run.run_type == "backfill" else "scheduled"
    return Cutoff(run.data_interval_end, f"the end of the {word} interval")


def no_new_data(as_of: datetime, newest: datetime | None, interval: timedelta) -> str | None:
    """Why a scheduled run has nothing to publish: its newest event is over an interval old at the cutoff; else None."""
    if newest is None:
        return "there is no interaction at all; import some, then trigger a run"
    if newest >= as_of - interval:
        return None
    return (
        f"the newest interaction is from {newest.isoformat()}, more than one interval ({interval}) before "
        f"the cutoff {as_of.isoformat()}: nothing is built or published. See whether the platform still "
        "delivers its interactions; to build from what there is, trigger a run with as_of"
    )
