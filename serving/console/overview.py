"""Gather what the overview shows: the live release now, and what happened lately."""

from __future__ import annotations

from typing import Any

from models.settings.settings import Settings
from serving.console.panel import asked
from serving.releases import Releases, age_hours


class Overview:
    """Reads the sources of the overview."""

    def __init__(self, settings: Settings, releases: Releases) -> None:
        self._settings, self._releases = settings, releases

    def now(self) -> dict[str, Any]:
        """Return the panels of the overview by name."""
        return {"live": asked(self._live)}

    def _live(self) -> dict[str, Any]:
        """Describe the live release. Raises ReleaseNotFound."""
        held = self._releases.held
        hours = age_hours(held.release.generated_at)
        return {
            "id": held.id,
            "as_of": held.release.as_of,
            "generated_at": held.release.generated_at,
            "stale": hours > self._settings.reader.stale_hours,
            "lists": dict(held.release.lists),
        }
