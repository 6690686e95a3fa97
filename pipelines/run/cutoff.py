"""Which instant a run's data ends at: decided here for every kind of Airflow run, and passed to every query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from models.errors import SettingsError
from pipelines.run.run import parse_instant

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
