"""Compare two releases as a whole: what owners see, who gained and lost exposure, methods, routes, and quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.entities import IdMap
from models.lists.audience import Audience
from models.lists.release import Release
from models.metrics.accuracy import K, overlap
from models.schema import Entity, Surface
from serving.clients.postgres import Database
from serving.console.release_files import ReleaseFiles
from serving.console.stored import Known
from serving.releases import HeldRelease

#: Owners whose lists are compared place by place, spread evenly over the ids. All of them in a smaller release.
OWNERS_MOST = 5_000
MOVED_MOST = 8
_ALONE = 1 << 40
#: Comparisons that a process keeps.
KEPT = 8
#: (2, n) rows of the entities that both releases know.
_Rows = NDArray[np.int64]


class Comparison:
    """Compares stored releases. Raises ReleaseIncomplete, ServiceError."""

    def __init__(self, files: ReleaseFiles, database: Database) -> None:
        self._files, self._database = files, database
        self._kept: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def forget(self, _: HeldRelease) -> None:
        """Drop kept comparisons after a change of the live release: an erasure may have replaced releases."""
        self._kept.clear()

    def between(self, before: Known, after: Known) -> list[dict[str, Any]]:
        """Return for each surface {surface, lists, overlap, exposure, method, route, spread, quality}.

        Pairs are [before, after]. overlap: {mean, owners} of the first ten places. exposure: {gained, lost: {id, name,
        before, after}, new, gone: items}; both are None if a release is older. Empty if a manifest is unknown.
        """
        one, other = before.manifest, after.manifest
        if one is None or other is None:
            return []
        if (found := self._kept.get((one.id, other.id))) is None:
            found = self._compared(before, after, one, other)
            self._kept = {**dict(list(self._kept.items())[1 - KEPT :]), (one.id, other.id): found}
        return found

    def _compared(self, before: Known, after: Known, one: Release, other: Release) -> list[dict[str, Any]]:
        rows = {entity: self._rows(one, other, entity) for entity in Entity}
        return [
            {
                "surface": surface,
                "lists": [one.lists[surface.value], other.lists[surface.value]],
                "overlap": self._overlap(one, other, surface, rows[surface.owner], rows[surface.item]),
                "exposure": self._exposure(one, other, surface, rows[surface.item]),
                **{kind: _pairs(one, other, surface, kind) for kind in ("method", "route")},
                "spread": [_of(r, surface, "exposure") for r in (one, other)],
                "quality": [_quality(known, surface) for known in (before, after)],
            }
            for surface in Surface
            if surface.value in one.lists and surface.value in other.lists
        ]

    def _overlap(
        self, one: Release, other: Release, surface: Surface, both: _Rows | None, items: _Rows | None
    ) -> dict[str, Any] | None:
        tops = []
        if both is None or items is None:
            return None
        sample = both[:, :: max(1, -(-both.shape[1] // OWNERS_MOST))]
        for side, release in enumerate((one, other)):
            audience, owners = self._files.audience(release, surface), sample[side]
            if audience is None:
                return None
            number = np.full(int(items[side].max(initial=0)) + 1, -1)
            number[items[side]] = np.arange(items.shape[1])
            tops.append(_tops(audience, owners, number, _ALONE * (side + 1)))
        there = (tops[0] != -1).any(1) & (tops[1] != -1).any(1)
        if not there.any():
            return {"mean": None, "owners": 0}
        return {"mean": float(overlap(tops[0][there], tops[1][there]).mean()), "owners": int(there.sum())}

    def _exposure(self, one: Release, other: Release, surface: Surface, rows: _Rows | None) -> dict[str, Any] | None:
        counts = [self._files.exposure(r, surface) for r in (one, other)]
        ids = self._files.ids(other, surface.item)
        if rows is None or ids is None or counts[0] is None or counts[1] is None:
            return None
        before, after = counts[0][rows[0]], counts[1][rows[1]]
        order = np.argsort(after - before, kind="stable")
        lost, gained = order[:MOVED_MOST], order[::-1][:MOVED_MOST]
        lost, gained = lost[(after < before)[lost]], gained[(after > before)[gained]]
        names = self._database.names(surface.item, ids.text(rows[1][np.concatenate([lost, gained])]).tolist())

        def told(chosen: NDArray[np.int64]) -> list[dict[str, Any]]:
            columns = ids.text(rows[1][chosen]).tolist(), before[chosen].tolist(), after[chosen].tolist()
            return [
                {"id": i, "name": names.get(i, ""), "before": b, "after": a} for i, b, a in zip(*columns, strict=True)
            ]

        seen = [int((count > 0).sum()) for count in counts if count is not None]
        both = int(((before > 0) & (after > 0)).sum())
        return {"gained": told(gained), "lost": told(lost), "new": seen[1] - both, "gone": seen[0] - both}

    def _rows(self, one: Release, other: Release, entity: Entity) -> _Rows | None:
        """Return (2, n) rows of the entities that both releases know. None for an older release."""
        ids: list[IdMap | None] = [self._files.ids(r, entity) for r in (one, other)]
        if ids[0] is None or ids[1] is None:
            return None
        there = ids[1].find(ids[0].packed())
        mine = np.flatnonzero(there >= 0)
        return np.stack([mine, there[mine]]).astype(np.int64)


def _tops(audience: Audience, owners: NDArray[np.int64], number: NDArray[np.int64], alone: int) -> NDArray[np.int64]:
    """Return (n, K) the first K items of some owners, -1 past the end of a list.

    number: (rows,) the common number of an item row, -1 if only this release knows it; then it is `alone` plus the row.
    """
    owner, place = audience.owner, audience.place
    index = np.full(max(int(owner.max(initial=0)), int(owners.max(initial=0))) + 1, -1)
    index[owners] = np.arange(len(owners))
    entries = np.flatnonzero((place <= K) & (index[owner] >= 0))
    item = np.searchsorted(audience.indptr, entries, "right") - 1
    common = np.where(item < len(number), number[np.minimum(item, len(number) - 1)], -1)
    found = np.full((len(owners), K), -1, np.int64)
    found[index[owner[entries]], place[entries] - 1] = np.where(common >= 0, common, alone + item)
    return found


def _of(release: Release, surface: Surface, kind: str) -> Mapping[str, Any]:
    return dict((release.shares.get(surface.value) or {}).get(kind) or {})


def _pairs(one: Release, other: Release, surface: Surface, kind: str) -> list[tuple[str, float, float]]:
    """Return the shares of lists by method or route in both releases, the largest first."""
    shares = [_of(r, surface, kind) for r in (one, other)]
    names = {*shares[0], *shares[1]}
    found = [(name, float(shares[0].get(name, 0.0)), float(shares[1].get(name, 0.0))) for name in names]
    return sorted(found, key=lambda pair: (-max(pair[1:]), pair[0]))


def _quality(known: Known, surface: Surface) -> Mapping[str, Any] | None:
    """Return NDCG@10 of the served lists from the report of a release's build."""
    quality = ((known.build or {}).get("quality") or {}).get(surface.value) or {}
    return quality.get("served")
