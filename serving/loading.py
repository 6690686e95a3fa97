"""Where a release comes from: Redis; where Redis is down or has lost it, the files in the artefact store."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np

from models.errors import ReleaseIncomplete, ReleaseNotFound
from models.nouns.bundle import open_bundle, sha256_of
from models.nouns.catalogue import CATALOGUE, ItemTable, decode_items, encode_items, entities_of
from models.nouns.ranked_lists import RankedLists
from models.nouns.release import POPULAR_FIELD, Release, StoredList, decode_list, encode_lists
from models.nouns.release.files import MANIFEST, last_published, popular_list, shard_file
from models.schema import Entity, Surface
from models.settings import Settings
from serving.doors.cache import RELEASES, Cache
from serving.releases import HeldRelease

log = logging.getLogger("matchbook.reader")


def load_release(cache: Cache, name: str, settings: Settings | None = None) -> HeldRelease:
    """Read a release's manifest, item tables and popular lists; a popular list that Redis has lost comes from the
    stored files, where they are here. Raises ReleaseIncomplete, ServiceError."""
    keys = cache.keys
    manifest, *tables = cache.get_many([keys.manifest(name), *(keys.items(name, e) for e in Entity)])
    if manifest is None or any(t is None for t in tables):
        raise ReleaseIncomplete(
            f"{keys.current} names the release {name}, which is not in Redis as a whole; "
            "promote another one (`python -m pipelines promote`) or publish it again"
        )
    items = {e: decode_items(t) for e, t in zip(Entity, tables, strict=True) if t is not None}
    release = Release.from_json(manifest)
    told = {s: cache.field(keys.lists(name, s), POPULAR_FIELD, RELEASES) for s in Surface}
    popular = {s: decode_list(p) for s, p in told.items() if p}
    folder = settings.artifacts / "releases" / name if settings is not None else Path()
    for surface in (s for s in Surface if s not in popular):
        with suppress(ReleaseIncomplete, OSError):
            popular[surface] = _stored_popular(folder, release, surface)
    return HeldRelease(release, items, popular)


def _stored_popular(folder: Path, release: Release, surface: Surface) -> StoredList:
    return decode_list(encode_lists(popular_list(folder, release, surface))[0])


def load_from_files(settings: Settings, pointer: str = "") -> HeldRelease:
    """The release of this name as it is stored on this machine, else what was live last; what never was live is not
    served. Raises ReleaseNotFound, ReleaseIncomplete, BundleError, OSError."""
    folder = settings.artifacts / "releases"
    there = pointer and (folder / pointer / MANIFEST).is_file()
    name = pointer if there else last_published(settings.artifacts)
    if name is None:
        raise ReleaseNotFound(f"no release that was live is stored in {folder}; run `python -m pipelines build`")
    release = Release.from_json((folder / name / MANIFEST).read_bytes())
    catalogue = open_bundle(CATALOGUE, settings.artifacts / "bundles" / CATALOGUE / release.bundles[CATALOGUE])
    items: dict[Entity, ItemTable] = {e: decode_items(encode_items(x)) for e, x in entities_of(catalogue).items()}
    return HeldRelease(
        release, items, {s: _stored_popular(folder / name, release, s) for s in map(Surface, release.lists)}
    )


class StoredFiles:
    """The lists of releases that are stored on this machine, for owners whose list Redis does not give. A few files are
    kept open: the lists of one shard lie in one file, owners ascending."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.artifacts / "releases"
        self._opened = lru_cache(maxsize=16)(self._open)
        self._one_at_a_time = Lock()

    def list_of(self, held: HeldRelease, surface: Surface, owner: str) -> StoredList | None:
        """An owner's own list, None where the release has none for them or its files are not here."""
        row = int(held.items[surface.owner].ids.rows_of([owner])[0])
        for shard in held.release.shards if row >= 0 else ():
            if shard["surface"] == surface.value:
                lists = self._lists(held.release, shard_file(surface, shard["index"]))
                place = int(np.searchsorted(lists.owner, row)) if lists is not None else 0
                if lists is not None and place < len(lists) and lists.owner[place] == row:
                    return decode_list(encode_lists(lists.take(np.array([place])))[0])
        return None

    def _lists(self, release: Release, file: str) -> RankedLists | None:
        with self._one_at_a_time:
            return self._opened(release.id, file, release.files.get(file, ""))

    def _open(self, name: str, file: str, digest: str) -> RankedLists | None:
        path = self._folder / name / file
        if not path.is_file() or sha256_of(path) != digest:
            log.warning("%s is not here as it was stored", path)
            return None
        return RankedLists.open(path)
