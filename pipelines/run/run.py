"""A run: its id, cutoff, settings and folders. The cutoff is chosen once. Tasks never read the clock."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from models.data.bundle import digest_of
from models.errors import DataError, SettingsError
from models.experiments import with_arms
from models.list_version import models_code
from models.recommender.surface import possible_rankers
from models.settings.idle import idle_choices
from models.settings.load import check_record
from models.settings.settings import Settings
from pipelines.refs import BuildRef
from pipelines.store.artifacts import Artifacts, append_private

_LOG = logging.getLogger(__name__)
#: Results of `python -m pipelines tune`, below the artefact root.
TUNING = "tuning.json"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 instant or date, UTC without a zone. Raises DataError."""
    try:
        instant = datetime.fromisoformat(text.strip())
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise DataError(f"expected an ISO 8601 instant such as 2024-05-01T00:00:00Z, got {text!r}") from error


def slug_of(as_of: datetime) -> str:
    """Format as `20130405T000001Z`, with microseconds only if not 0. Slugs of equal form sort by time."""
    return as_of.strftime("%Y%m%dT%H%M%S") + (f".{as_of.microsecond:06d}" if as_of.microsecond else "") + "Z"


def microseconds(instant: datetime) -> int:
    """Return exact microseconds since 1970 UTC."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def _with_tuning(settings: Settings) -> tuple[Settings, str]:
    """Return the settings with stored tuned values, and a line about them. Raises DataError if the file is damaged."""
    path = settings.artifacts / TUNING
    if not path.is_file():
        return settings, ""
    try:
        note = json.loads(path.read_text())
        tuned = settings.with_tuned(note["settings"], f"tuning on {note.get('snapshot')}")
        used = {k: v for k, v in note["settings"].items() if tuned.origin(k) != settings.origin(k)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"expected the results of tuning in {path}, got {error}; remove the file or tune again"
        ) from error
    line = f"tuned on {note.get('snapshot')} before {note.get('cut')}: {json.dumps(used, sort_keys=True)}"
    return tuned, line if used else ""


@dataclass(frozen=True)
class Run:
    """One build. id: name of the staging directory. as_of: the cutoff. The build uses only earlier data.

    overruled: one line for each setting whose recorded value differs from the current one.
    """

    id: str
    as_of: datetime
    settings: Settings
    overruled: tuple[str, ...] = ()

    @classmethod
    def start(cls, settings: Settings, run_id: str, as_of: datetime, fresh: bool = False) -> Run:
        """Begin and record a build. A known cutoff keeps the settings of its snapshot, unless `fresh`.

        Any other cutoff uses tuned values for settings that have their defaults.
        """
        tuned, tuning = _with_tuning(settings)
        run = cls(run_id, as_of, tuned)
        snapshot = None if fresh else run.stored_snapshot()
        if snapshot is not None:
            where = f"recorded with {run.slug}"
            recorded = json.loads((snapshot / "manifest.json").read_text())["settings"]
            check_record(recorded, snapshot.name)
            run = cls(run_id, as_of, settings.with_recorded(recorded, where), tuned.overruled(recorded, where))
        for line in filter(None, run.overruled if snapshot is not None else [tuning]):
            _LOG.info(line)
        # a wrong file of experiments ends the build before it reads any row
        if idle := idle_choices([(s, possible_rankers(s)) for s in with_arms(run.settings)]):
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
        """Open a recorded build in another task. Raises DataError."""
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
        return BuildRef(self.id, self.as_of.isoformat(), **known)

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.settings)

    @property
    def directory(self) -> Path:
        return self.settings.artifacts / "runs" / self.id

    @property
    def slug(self) -> str:
        return slug_of(self.as_of)

    @property
    def as_of_us(self) -> int:
        return microseconds(self.as_of)

    def stored_snapshot(self) -> Path | None:
        """Return the newest stored snapshot of this exact cutoff."""
        mine = [p for p in self.artifacts.stored("snapshots") if p.name.rsplit("-", 1)[0] == self.slug]
        return max(mine, key=lambda p: (p / "manifest.json").stat().st_mtime) if mine else None


def begin(settings: Settings, run_id: str, as_of: datetime, because: str = "", fresh: bool = False) -> BuildRef:
    run = Run.start(settings, run_id, as_of, fresh)
    return run.reference(because=because, fresh=fresh)


LOG = "decisions.jsonl"


def log_decision(settings: Settings, what: str, verdict: str, reasons: Sequence[str], **more: Any) -> None:
    """Append {"at", "what", "verdict", "reasons", …}. what: "gate", "approval", "retrain", "refresh" …"""
    at = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 time of the decision, which no list depends on
    line = json.dumps({"at": at, "what": what, "verdict": verdict, "reasons": list(reasons), **more}, sort_keys=True)
    append_private(settings.artifacts / LOG, line)


def read_decisions(settings: Settings, most: int = 100) -> list[dict[str, Any]]:
    """Return the last `most` decisions, newest first, without lines that a crash cut off."""
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
    """Return 12 hex digits of every Python file and query that may change a list."""
    found = (p for part in _PARTS for p in (_ROOT / part).rglob("*") if p.suffix in (".py", ".sql"))
    return digest_of(_ROOT, found)


def code_version() -> str:
    """Return the version of the code and of the libraries that affect the numbers."""
    libraries = (f"{name}={metadata.version(name)}" for name in ("numpy", "scipy", "implicit", "torch"))
    return " ".join([f"matchbook={code_digest()}", models_code(), *libraries])


AHEAD = timedelta(days=1)  # a client's clock or time zone may be ahead, a mistyped year is further ahead


class Cutoff(NamedTuple):
    at: datetime
    because: str


@dataclass(frozen=True)
class RunTimes:
    """What Airflow knows about one run.

    run_type: "scheduled", "backfill", "manual", "asset_triggered", "operator_triggered" …
    run_after: when the run was due. logical_date: from a person or the timetable, or None.
    data_interval_end: end of the day (or hour) that it covers, or None.
    as_of: the parameter, an ISO 8601 instant or None.
    started: actual start. Runs may wait or have an earlier date.
    """

    run_type: str
    run_after: datetime
    logical_date: datetime | None = None
    data_interval_end: datetime | None = None
    as_of: str | None = None
    started: datetime | None = None

    @property
    def timetabled(self) -> bool:
        """Whether the timetable, not a person, chose the interval."""
        return self.run_type in ("scheduled", "backfill")


def just_after(newest: datetime) -> datetime:
    """Return the cutoff that includes everything up to this instant: one second later, but never after now."""
    return min(newest + timedelta(seconds=1), datetime.now(UTC))  # noqa: TID251 no event is later


def passed(as_of: datetime, now: datetime | None = None) -> datetime:
    """Check a given cutoff. One slightly ahead becomes `now` (default: the clock's time).

    Raises SettingsError if it is further ahead.
    """
    now = now or datetime.now(UTC)  # noqa: TID251 only to refuse future cutoffs
    if as_of > now + AHEAD:
        raise SettingsError(
            f"as_of={as_of.isoformat()} lies in the future of this run ({now.isoformat()}): its release would block "
            "every later one, because an older cutoff never replaces a newer one; give a cutoff in the past"
        )
    return min(as_of, now)


def cutoff_of(run: RunTimes) -> Cutoff:
    """Choose the end of a scheduled or backfilled interval, else `as_of`, the run's date, or its own time.

    Raises SettingsError for a backfill with as_of and for an as_of in the future, DataError for an unreadable one.
    """
    if run.timetabled:
        return _end_of_interval(run)
    now = max(run.run_after, run.started or run.run_after)
    if run.as_of:
        return Cutoff(passed(parse_instant(run.as_of), now), "the parameter as_of")
    if run.logical_date:
        return Cutoff(passed(run.logical_date, now), "the date of this run")
    return Cutoff(run.run_after, "the run's own time, because it has no date")


def _end_of_interval(run: RunTimes) -> Cutoff:
    if run.run_type == "backfill" and run.as_of:
        raise SettingsError(
            f"a backfill takes each cutoff from its day, but its configuration has as_of={run.as_of!r}, "
            "which would build the same day repeatedly; start the backfill without as_of, or trigger "
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
    """Return why a scheduled run has no new data: no event for one interval before the cutoff. Otherwise None."""
    if newest is None:
        return "there are no interactions; import some, then trigger a run"
    if newest >= as_of - interval:
        return None
    return (
        f"the newest interaction is from {newest.isoformat()}, more than one interval ({interval}) before "
        f"the cutoff {as_of.isoformat()}: nothing is built or published. Check that the platform still "
        "delivers interactions; to build from the existing ones, trigger a run with as_of"
    )
