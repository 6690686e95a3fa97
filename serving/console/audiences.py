"""Who sees an item in the live release, and how many lists showed it in each release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.lists.audience import SEEN
from models.lists.release import Release
from models.schema import Surface
from serving.clients.postgres import Database
from serving.console.charts import chart, line
from serving.console.release_files import ReleaseFiles
from serving.console.stored import Known
from serving.console.words import plain

PAGE_OWNERS = 25
#: Releases of the history, the newest.
RELEASES_MOST = 40


@dataclass(frozen=True)
class Seen:
    """A page of the owners who see an item, the best places first.

    lists: number of owners in all. first: 0-based number of the first one here. best: lists that show it in the first
    ten places. owners: {id, name, place}.
    """

    surface: Surface
    lists: int
    best: int
    first: int
    owners: Sequence[dict[str, Any]]

    @property
    def next(self) -> int | None:
        after = self.first + len(self.owners)
        return after if after < self.lists else None


class Audiences:
    """Answers from the audiences of releases. Raises ReleaseIncomplete, ServiceError."""

    def __init__(self, files: ReleaseFiles, database: Database) -> None:
        self._files, self._database = files, database

    def seen(self, release: Release, surface: Surface, item: str, first: int = 0) -> Seen | None:
        """Return the owners who see an item. None if the release is older, or does not know the item."""
        audience, items = self._files.audience(release, surface), self._files.ids(release, surface.item)
        owners = self._files.ids(release, surface.owner)
        row = -1 if items is None else int(items.rows_of([item])[0])
        if audience is None or owners is None or row < 0:
            return None
        owner, place = audience.of(row)
        ids = owners.text(owner[first : first + PAGE_OWNERS]).tolist()
        names = self._database.names(surface.owner, ids) if ids else {}
        found = [
            {"id": id, "name": names.get(id, ""), "place": int(p)}
            for id, p in zip(ids, place[first : first + PAGE_OWNERS], strict=True)
        ]
        return Seen(surface, len(owner), int((place <= 10).sum()), first, found)

    def history(self, known: Sequence[Known], surfaces: Sequence[Surface], item: str) -> dict[str, Any] | None:
        """Return a chart of the number of lists that show an item, by release. None if no release says.

        surfaces: those on which it is an item.
        """
        releases = [k.manifest for k in known[:RELEASES_MOST] if k.manifest is not None]
        points = [(r, found) for r in reversed(releases) if (found := self._exposure(r, surfaces, item))]
        if not points:
            return None
        lines = [line(plain(s.value), [{"value": found.get(s)} for _, found in points]) for s in surfaces]
        made = chart(f"Lists whose first {SEEN} places show it", [r.as_of for r, _ in points], lines, "count")
        return made | {"releases": [r.id for r, _ in points]}

    def _exposure(self, release: Release, surfaces: Sequence[Surface], item: str) -> dict[Surface, int]:
        ids = self._files.ids(release, surfaces[0].item) if surfaces else None
        row = -1 if ids is None else int(ids.rows_of([item])[0])
        if row < 0:
            return {}
        found = {s: self._files.exposure(release, s) for s in surfaces if s.value in release.lists}
        return {s: int(exposure[row]) for s, exposure in found.items() if exposure is not None}
