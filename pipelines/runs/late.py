"""Whether the live lists are older than they should be: asked by the clock, not by a build that may never run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from models.nouns.release.files import last_published
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.postgres import newest_event
from pipelines.release.cache import current_release
from pipelines.runs.run import parse_instant

_HOUR_S = 3600.0


@dataclass(frozen=True)
class Age:
    """release: the live one, None where there is none. age_hours: since its lists were made. newest: when anything
    last happened on the platform. late: why the lists are too old, empty where they are not."""

    release: str | None
    age_hours: float | None
    newest: str | None
    late: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def age_of_lists(settings: Settings, at: datetime) -> Age:
    """How old the live lists are at an instant. Raises ServiceError where a server does not answer.

    Late is what was made more than [releases] late_hours ago; 0 switches the question off. While nothing happens the
    lists need not be made again, but then something is wrong with what delivers the events: `late` says which it is.
    """
    live = current_release(settings)
    newest = newest_event(settings)
    told = newest.isoformat() if newest else None
    if live is None:
        before = last_published(settings.artifacts) if settings.releases.late_hours else None
        return Age(
            None,
            None,
            told,
            f"nothing is live in Redis, though {before} was published: it has lost its data; "
            f"`python -m pipelines promote {before}`"
            if before
            else "",
        )
    release = Artifacts(settings).release(live)
    hours = round((at - parse_instant(release.generated_at)).total_seconds() / _HOUR_S, 2)
    if not settings.releases.late_hours or hours <= settings.releases.late_hours:
        return Age(live, hours, told, "")
    most = settings.releases.late_hours
    why = f"the live lists ({live}) were made {hours:.0f} h ago, more than [releases] late_hours = {most:g}"
    if newest is not None and newest >= parse_instant(release.as_of):
        return Age(
            live,
            hours,
            told,
            f"{why}, though events came in until {newest.isoformat()}: see what the last "
            "runs of build_recommendations say",
        )
    since = f"since {newest.isoformat()}" if newest else "at all"
    return Age(live, hours, told, f"{why}, and no event came in {since}: see whether the platform still delivers")
