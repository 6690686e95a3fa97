"""Decide each day from stored facts whether a scheduled run builds (K01-K09, R13).

Builds are weekly, two-weekly or monthly by the activity of the last week. A build is due at once when interactions
have doubled or many people or startups came (docs/decisions/0026-retraining-rule.md).
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError, DataError, ReleaseError
from models.lists.release import Release, last_published
from models.metrics.accuracy import mix_distance
from models.routing import route
from models.schema import Entity, Method, Surface
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.postgres import engine, newest_event, rows
from pipelines.redis_client import current_release
from pipelines.run.run import Run, log_decision, no_new_data, parse_instant
from pipelines.store.artifacts import Artifacts

_LOG = logging.getLogger(__name__)
WEEK = timedelta(days=7)
WEEKLY, TWO_WEEKLY, MONTHLY = 7, 14, 30
#: A build triggered during a day does not delay the schedule by a day.
SLACK = timedelta(hours=12)


@dataclass(frozen=True)
class Facts:
    """Input of the decision. built: cutoff of the live build, ISO 8601, or None.

    age_days: from that cutoff to the run's. week, active_days: interactions of the last seven days, and days with any.
    interactions, users, startups: numbers at the build and now.
    drift: share of people by which the mix of routes changed since the build, or None without its snapshot.
    """

    built: str | None = None
    age_days: float = 0.0
    week: int = 0
    active_days: int = 0
    interactions: tuple[int, int] = (0, 0)
    users: tuple[int, int] = (0, 0)
    startups: tuple[int, int] = (0, 0)
    drift: float | None = None


@dataclass(frozen=True)
class Decision:
    """Whether a build is due, the interval at this activity, and the reason."""

    due: bool
    every_days: int
    reason: str


def decide(facts: Facts, settings: Settings) -> Decision:
    """Apply the pure rule, without a clock or server."""
    every, rhythm = _rhythm(facts, settings)
    if settings.retrain.when == "always":
        return Decision(True, 1, "a build is due every day: [retrain] when = 'always'")
    if facts.built is None:
        return Decision(True, every, "no build is live yet")
    leap = _leap(facts, settings)
    if leap:
        return Decision(True, every, f"{leap} since the live build of {facts.built}: a build is due early")
    age = f"the live build's cutoff, {facts.built}, is {facts.age_days:.1f} days old"
    if facts.age_days < 0:
        age = f"the live build's cutoff, {facts.built}, lies {-facts.age_days:.1f} days after this run's"
    if facts.age_days + SLACK / timedelta(days=1) >= every:
        return Decision(True, every, f"{age}, and a build is due {rhythm}")
    drift = "unknown" if facts.drift is None else f"{facts.drift:.1%}"
    return Decision(
        False,
        every,
        (
            f"no build is due: {age}, one is due {rhythm}; since then interactions {_times(facts.interactions)}, "
            f"people {_times(facts.users)}, startups {_times(facts.startups)}, mix of routes moved by {drift}. "
            "Trigger a run to build now; [retrain] when = 'always' builds every day"
        ),
    )


def retrain(settings: Settings, as_of: datetime) -> tuple[Decision, dict[str, Any]]:
    """Decide for the scheduled run of this cutoff. Log and return the decision and its facts."""
    facts = facts_of(settings, as_of)
    found = decide(facts, settings)
    shown = asdict(facts)
    log_decision(
        settings,
        "retrain",
        "build" if found.due else "skip",
        [found.reason],
        as_of=as_of.isoformat(),
        every_days=found.every_days,
        facts=shown,
    )
    return found, shown


def look_for_new_data(run: Run, interval: tuple[datetime, datetime] | None) -> dict[str, Any]:
    """The step of a scheduled run that covers `interval`. Any other run has None and always builds.

    Returns {newest, facts, due: why a build is due}. "reason" replaces "due" if the run ends here: no new events in a
    whole interval, or no build is due (K01-K09).
    """
    newest = newest_event(run.settings)
    found: dict[str, Any] = {"newest": newest.isoformat() if newest else None}
    if interval is None:
        return found
    since, until = interval
    if reason := no_new_data(until, newest, until - since):
        return {**found, "reason": reason}
    decision, facts = retrain(run.settings, until)
    _LOG.info("%s", decision.reason)
    return {**found, "facts": facts, "due" if decision.due else "reason": decision.reason}


def facts_of(settings: Settings, as_of: datetime) -> Facts:
    """Read from PostgreSQL and the live release. Ignore a live cutoff in the future. Raises ServiceError."""
    live = current_release(settings)
    try:
        release = Artifacts(settings).release(live) if live else None
        snapshot = Snapshot.open(settings.artifacts / "snapshots" / release.snapshot) if release else None
    except (ReleaseError, BundleError, DataError):
        release = snapshot = None  # the content of the live lists is unknown, so a build is due
    if release is None or snapshot is None:
        return Facts()
    built, database = parse_instant(release.built), engine(settings)
    if built > datetime.now(UTC):  # noqa: TID251 a future cutoff is not usable
        return Facts()
    (activity,) = rows(database, "retrain/activity", as_of=as_of, week=as_of - WEEK, built=built)
    (people,) = rows(database, "retrain/people", as_of=as_of)
    counts = snapshot.manifest["counts"]
    return Facts(
        built=release.built,
        age_days=round((as_of - built) / timedelta(days=1), 3),
        week=int(activity.week),
        active_days=int(activity.days),
        interactions=(int(counts["interactions"]), int(counts["interactions"]) + int(activity.since)),
        users=(int(counts["users"]), max(int(people.users), int(counts["users"]))),
        startups=(int(counts["startups"]), max(int(people.startups), int(counts["startups"]))),
        drift=_drift(settings, release, snapshot, as_of, int(people.users)),
    )


def _rhythm(facts: Facts, settings: Settings) -> tuple[int, str]:
    """Return days between builds at this activity, and the reason (K01, K04, K09; K02; K03, K06)."""
    said = f"at {facts.week} interactions in the last week"
    if facts.week > settings.retrain.busy:
        return WEEKLY, f"weekly {said} (more than {settings.retrain.busy})"
    if facts.week >= settings.retrain.quiet and facts.active_days == WEEK.days:
        return WEEKLY, f"weekly {said}, some on every day"
    if facts.week >= settings.retrain.quiet:
        return TWO_WEEKLY, f"every two weeks {said} ({settings.retrain.quiet} to {settings.retrain.busy})"
    return MONTHLY, f"monthly {said} (fewer than {settings.retrain.quiet})"


def _leap(facts: Facts, settings: Settings) -> str:
    """Return the growth or shift that makes a build due at once (K05, K07), or ""."""
    if facts.interactions[1] >= 2 * max(facts.interactions[0], 1):
        return f"interactions have doubled ({facts.interactions[0]} to {facts.interactions[1]})"
    for word, (then, now) in (("people", facts.users), ("startups", facts.startups)):
        if now - then > settings.retrain.growth * max(then, 1):
            return f"{word} grew by more than {settings.retrain.growth:.0%} ({then} to {now})"
    if facts.drift is not None and facts.drift > settings.retrain.drift:
        return f"the mix of routes moved by {facts.drift:.1%} (more than {settings.retrain.drift:.0%})"
    return ""


def _drift(settings: Settings, release: Release, snapshot: Snapshot, as_of: datetime, people: int) -> float | None:
    """Return the change of the mix of people's routes since the build. Newer people without an event are cold-start."""
    users = snapshot.entities(Entity.USER)
    mine = users.role >= 0
    if not mine.any():
        return None
    found = rows(engine(settings), "retrain/busy_users", since=parse_instant(release.built), as_of=as_of)
    row, more = users.ids.rows_of([str(r.id) for r in found]), np.array([r.interactions for r in found], np.int64)
    now = users.count.astype(np.int64)
    np.add.at(now, row[row >= 0], more[row >= 0])
    silent = max(people - len(users) - int((row < 0).sum()), 0)
    after = np.concatenate([now[mine], more[row < 0], np.zeros(silent, np.int64)])
    recorded = settings.with_recorded(release.settings)
    before, after_ = (_mix(counts, recorded) for counts in (users.count[mine], after))
    return round(mix_distance(before, after_), 4)


def _mix(counts: NDArray[np.integer[Any]], settings: Settings) -> NDArray[np.float64]:
    """Return (m,) share of each route, by method code, among people with these interaction counts."""
    method = route(Surface.STARTUPS_FOR_DEVELOPER, counts, settings).method
    return np.bincount(method, minlength=Method.codes()) / max(len(method), 1)


def _times(then_now: tuple[int, int]) -> str:
    return f"x{then_now[1] / max(then_now[0], 1):.2f}"


_HOUR_S = 3600.0


@dataclass(frozen=True)
class Age:
    """Freshness of the live lists.

    release: the live one, or None. age_hours: age of its lists. late: why the lists are too old, or "".
    """

    release: str | None
    age_hours: float | None
    newest: str | None
    late: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_freshness(settings: Settings, at: datetime) -> Age:
    """Return the age of the live lists. Raises ServiceError if a server does not answer.

    Lists older than [releases] late_hours are late, 0 disables the check. `late` also says whether events still
    arrive. Without events new lists are not needed, but the delivery of events may be broken.
    """
    live = current_release(settings)
    newest = newest_event(settings)
    at_newest = newest.isoformat() if newest else None
    if live is None:
        before = last_published(settings.artifacts) if settings.releases.late_hours else None
        return Age(
            None,
            None,
            at_newest,
            f"nothing is live in Redis, although {before} was published: Redis lost its data; "
            f"`python -m pipelines promote {before}`"
            if before
            else "",
        )
    release = Artifacts(settings).release(live)
    hours = round((at - parse_instant(release.generated_at)).total_seconds() / _HOUR_S, 2)
    if not settings.releases.late_hours or hours <= settings.releases.late_hours:
        return Age(live, hours, at_newest, "")
    most = settings.releases.late_hours
    why = f"the live lists ({live}) were made {hours:.0f} h ago, more than [releases] late_hours = {most:g}"
    if newest is not None and newest >= parse_instant(release.as_of):
        return Age(
            live,
            hours,
            at_newest,
            f"{why}, although events arrived until {newest.isoformat()}: check the last runs of build_recommendations",
        )
    since = f"since {newest.isoformat()}" if newest else "at all"
    return Age(
        live, hours, at_newest, f"{why}, and no event arrived {since}: check that the platform still delivers events"
    )
