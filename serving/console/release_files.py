"""What the console reads of stored releases: their catalogue, who sees each item, and how often an item is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.catalogue.directory import Directory
from models.data.bundle import open_bundle
from models.data.entities import Entities, IdMap
from models.errors import ReleaseIncomplete
from models.lists.audience import Audience, open_audience, open_exposure, open_ids
from models.lists.release import Release
from models.object_storage import download
from models.schema import Entity, Surface
from models.settings.settings import Settings
from serving.releases import HeldRelease


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All people and startups of one release, and their names' words and order."""

    entities: Mapping[Entity, Entities]
    directories: Mapping[Entity, Directory]


class ReleaseFiles:
    """Opens files of releases at their first use and keeps a few open. Large arrays are mapped into memory."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._one_at_a_time = settings, Lock()
        self._catalogue = lru_cache(maxsize=2)(self._open_catalogue)
        self._audience = lru_cache(maxsize=8)(self._open_audience)
        self._exposure = lru_cache(maxsize=256)(self._open_exposure)
        self._ids = lru_cache(maxsize=128)(self._open_ids)
        self._releases: dict[str, Release] = {}

    def catalogue(self, release: Release) -> Catalogue:
        """Return the catalogue of a release. Raises BundleError, ServiceError."""
        with self._one_at_a_time:
            return self._catalogue(release.bundles[CATALOGUE])

    def audience(self, release: Release, surface: Surface) -> Audience | None:
        """Return who sees each item. None for a release of an older version. Raises ReleaseIncomplete."""
        with self._named(release):
            return self._audience(release.id, surface)

    def exposure(self, release: Release, surface: Surface) -> NDArray[np.int64] | None:
        """Return (items,) number of lists that show each item row. Returns and raises as `audience`."""
        with self._named(release):
            return self._exposure(release.id, surface)

    def ids(self, release: Release, entity: Entity) -> IdMap | None:
        """Return the ids of a release's rows. Returns and raises as `audience`."""
        with self._named(release):
            return self._ids(release.id, entity)

    def forget(self, _: HeldRelease) -> None:
        """Close all files after a change of the live release: an erasure may have replaced them."""
        with self._one_at_a_time:
            for kept in (self._catalogue, self._audience, self._exposure, self._ids):
                kept.cache_clear()
            self._releases.clear()

    def _named(self, release: Release) -> Lock:
        self._releases[release.id] = release
        return self._one_at_a_time

    def _open_catalogue(self, version: str) -> Catalogue:
        download(self._settings, f"bundles/{CATALOGUE}/{version}")
        bundle = open_bundle(CATALOGUE, self._settings.artifacts / "bundles" / CATALOGUE / version)
        return Catalogue(entities_of(bundle), {e: Directory.of(bundle, e) for e in Entity})

    def _open_audience(self, name: str, surface: Surface) -> Audience | None:
        return open_audience(self._directory(name), self._releases[name], surface)

    def _open_exposure(self, name: str, surface: Surface) -> NDArray[np.int64] | None:
        return open_exposure(self._directory(name), self._releases[name], surface)

    def _open_ids(self, name: str, entity: Entity) -> IdMap | None:
        return open_ids(self._directory(name), self._releases[name], entity)

    def _directory(self, name: str) -> Path:
        folder = self._settings.artifacts / "releases" / name
        if self._releases[name].files and not folder.is_dir():
            raise ReleaseIncomplete(
                f"the files of release {name} are not on this machine; open the console of a reader that shares "
                "MATCHBOOK_ARTIFACTS with the pipelines"
            )
        return folder
