"""Where a release comes from: Redis; for a reader that starts while Redis is down, the artefact store."""

from __future__ import annotations

from models.errors import ReleaseIncomplete, ReleaseNotFound
from models.nouns.bundle import open_bundle
from models.nouns.catalogue import CATALOGUE, ItemTable, decode_items, encode_items, entities_of
from models.nouns.release import POPULAR_FIELD, Release, StoredList, decode_list, encode_lists
from models.nouns.release.files import MANIFEST, popular_list
from models.nouns.vocabulary import Entity, Surface
from models.settings import Settings
from serving.doors.cache import Cache
from serving.releases import HeldRelease


def load_release(cache: Cache, name: str) -> HeldRelease:
    """Read a release's manifest, item tables and popular lists. Raises ReleaseIncomplete, ServiceError."""
    keys = cache.keys
    manifest, *tables = cache.get_many([keys.manifest(name), *(keys.items(name, e) for e in Entity)])
    if manifest is None or any(t is None for t in tables):
        raise ReleaseIncomplete(f"{keys.current} names the release {name}, which is not in Redis as a whole; "
                                "promote another one (`python -m pipelines promote`) or publish it again")
    items = {e: decode_items(t) for e, t in zip(Entity, tables, strict=True) if t is not None}
    popular = {s: cache.field(keys.lists(name, s), POPULAR_FIELD) for s in Surface}
    return HeldRelease(Release.from_json(manifest), items, {s: decode_list(p) for s, p in popular.items() if p})


def load_from_files(settings: Settings) -> HeldRelease:
    """The newest cutoff stored on this machine. Raises ReleaseNotFound, ReleaseIncomplete, BundleError, OSError."""
    folder = settings.artifacts / "releases"
    stored = sorted(p for p in folder.glob(f"*/{MANIFEST}") if not p.parent.name.startswith("."))
    if not stored:
        raise ReleaseNotFound(f"Redis is down and no release is stored in {folder}; run `python -m pipelines build`")
    release = Release.from_json(stored[-1].read_bytes())
    catalogue = open_bundle(CATALOGUE, settings.artifacts / "bundles" / CATALOGUE / release.bundles[CATALOGUE])
    items: dict[Entity, ItemTable] = {e: decode_items(encode_items(x)) for e, x in entities_of(catalogue).items()}
    popular: dict[Surface, StoredList] = {}
    for surface in map(Surface, release.lists):
        popular[surface] = decode_list(encode_lists(popular_list(stored[-1].parent, release, surface))[0])
    return HeldRelease(release, items, popular)
