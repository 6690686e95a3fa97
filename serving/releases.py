"""Hold the live release in the process. A watcher replaces it as a whole within a second (R17)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from models import registry
from models.catalogue.catalogue import CATALOGUE, ItemTable, decode_items, encode_items, entities_of
from models.data.bundle import open_bundle, sha256_of
from models.errors import MatchbookError, ReleaseIncomplete, ReleaseNotFound, ServiceError
from models.experiments import Arm, Experiment, arm_on, experiments_of
from models.list_version import ListVersion, live_code, similar_version, version_of
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import POPULAR_FIELD, StoredList, decode_list, encode_lists
from models.lists.release import MANIFEST, NOTHING_LIVE, Release, last_published, popular_list, shard_file
from models.schema import Entity, ListKind, Similar, Surface
from models.settings.load import changed_constants
from models.settings.settings import Settings
from serving.clients.redis import RELEASES, Cache

log = logging.getLogger("matchbook.reader")

WATCH_S = 1.0


@dataclass(frozen=True, eq=False)
class HeldRelease:
    """What the reader keeps of one release. Each answer uses exactly one, so it never mixes two.

    settings: the reader's own, overridden by those recorded with the release.
    live_settings: the same with the reader's own pins (M04), for lists that are computed live.
    texts: cached text of list bodies (serving/http/present.py).
    """

    release: Release
    items: Mapping[Entity, ItemTable]
    popular: Mapping[Surface, StoredList]
    settings: Settings = field(default_factory=Settings)
    live_settings: Settings = field(default_factory=Settings)
    texts: dict[tuple[Any, ...], tuple[str, str, str]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_parts(
        cls,
        release: Release,
        items: Mapping[Entity, ItemTable],
        popular: Mapping[Surface, StoredList],
        settings: Settings,
    ) -> HeldRelease:
        """Make a held release. settings: the reader's own."""
        if changed := changed_constants(release.settings):
            log.warning(
                "release %s was built with %s; lists computed live use the constants of this version. Build again",
                release.id,
                "; ".join(changed),
            )
        recorded = settings.with_recorded(release.settings, f"recorded with {release.id}")
        pins = {spec.pin_field: settings.at(spec.pin) for spec in registry.MODELS if spec.pin}
        return cls(release, items, popular, recorded, recorded.layered(pins, "given"))

    @property
    def id(self) -> str:
        return self.release.id

    @cached_property
    def experiments(self) -> tuple[Experiment, ...]:
        return experiments_of(self.release.experiments)

    def arm(self, kind: ListKind, owner: str) -> tuple[Experiment, Arm] | None:
        """Return the experiment and arm of an owner. None outside all experiments, as for similar lists."""
        return arm_on(self.experiments, kind, owner) if self.experiments and isinstance(kind, Surface) else None

    def settings_of(self, surface: Surface, owner: str) -> Settings:
        """Return the settings of the owner's list: those of the release, overridden by those of the owner's arm."""
        found = self.arm(surface, owner)
        return self.settings if found is None else found[1].apply(self.settings)

    def generated_at(self, part: int = 0) -> str:
        """Return the time at which a list was made. A refresh adds parts to a build, each with its time."""
        parts = self.release.parts
        return str(parts[part]["generated_at"]) if part < len(parts) else self.release.generated_at

    def known_until_us(self, part: int | None) -> int:
        """Return the data cutoff of a part, or of the build without one, in microseconds since 1970 UTC."""
        parts = self.release.parts
        cutoff = self.release.built if part is None or part >= len(parts) else str(parts[part]["as_of"])
        return int(datetime.fromisoformat(cutoff).timestamp() * 1e6)

    def version(
        self, kind: ListKind, listing: StoredList, arm: tuple[Experiment, Arm] | None, live: bool
    ) -> ListVersion:
        """Return the version of the bundles, settings and code that ordered a list (F10)."""
        settings = self.live_settings if live else self.settings
        if arm is not None:
            settings = arm[1].apply(settings)
        part = len(self.release.parts) if live else listing.part  # live lists use the newest bundles
        bundles, code = self.release.bundles_at(part), self.release.code_at(part)
        code = live_code(code) if live else code
        if isinstance(kind, Similar):
            return similar_version(kind, bundles, settings, code)
        assert isinstance(kind, Surface)
        return version_of(kind, listing.method, listing.ranker, bundles, settings, code)


class Releases:
    """Holds the live release and follows the pointer.

    A new release is loaded off the request path. One assignment makes it current. Running requests finish with the old
    one. `listeners` are called with each new release, e.g. to open its models. `beside` are called after each check of
    the pointer, to follow other changes.
    """

    def __init__(
        self, cache: Cache, load: Callable[[str], HeldRelease], load_from_files: Callable[[str], HeldRelease]
    ) -> None:
        self._cache, self._load, self._load_from_files = cache, load, load_from_files
        self._held: HeldRelease | None = None
        self._stop, self._wake = threading.Event(), threading.Event()
        self._one_at_a_time = threading.Lock()
        self.trouble = ""
        self._no_files = ""
        self.gone: dict[ListKind, str] = {}  # kinds with lists missing from Redis
        self.listeners: list[Callable[[HeldRelease], None]] = []
        self.beside: list[Callable[[], None]] = []
        self._watcher = threading.Thread(target=self._watch, name="release-watcher", daemon=True)

    def start(self) -> None:
        """Load the live release if possible, and follow the pointer from now on."""
        self._look()
        self._watcher.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=5)

    @property
    def current(self) -> HeldRelease | None:
        """Return the release to answer from, or None."""
        return self._held

    @property
    def held(self) -> HeldRelease:
        """Return the release to answer from. Raises ReleaseNotFound before the first one."""
        if self._held is None:
            raise ReleaseNotFound(NOTHING_LIVE)
        return self._held

    def load(self, name: str) -> HeldRelease:
        """Load another release but do not use it for answers. Raises ReleaseIncomplete, ServiceError."""
        return self._load(name)

    def look_soon(self) -> None:
        """Check the pointer now, because a list does not fit the held release."""
        self._wake.set()

    def follow(self) -> None:
        """Read the pointer once and load its release. After a failure the present release stays.

        If no release is held and Redis gives none, the stored files answer.
        """
        with self._one_at_a_time:
            name = ""
            try:
                pointer = self._cache.get(self._cache.keys.current)
                if pointer is None:
                    raise ReleaseNotFound(
                        "Redis names no live release, as it does before the first build and after it "
                        "lost its data; `python -m pipelines drain-events` loads what was live"
                    )
                name = pointer.decode(errors="replace")
                if self._held is None or name != self._held.id:
                    self._take_over(self._load(name))
                self._note("")
            except MatchbookError as error:
                self._note(str(error))
                self._make_do(name)
            self._count()

    def _make_do(self, pointer: str) -> None:
        """Answer from the stored files, degraded, if no release is held yet."""
        if self._held is None:
            try:
                self._take_over(self._load_from_files(pointer))
            except (MatchbookError, OSError, ValueError, LookupError) as error:
                if str(error) != self._no_files:  # logged once, not at every check
                    log.warning("no release can be read from the artefact store either: %s", error)
                self._no_files = str(error)

    def _count(self) -> None:
        """Check that Redis has all lists of the held release."""
        held, self.gone = self._held, {}
        if held is None:
            return
        try:
            there = self._cache.counts(held.id, held.release.kinds)
        except ServiceError:
            return  # Redis is down, which is already reported
        for kind, count in there.items():
            expected = held.release.lists[kind.value] + 1  # and the popular list
            if count < expected:
                self.gone[kind] = f"{count} of {expected} lists of release {held.id} are in Redis"

    def _take_over(self, held: HeldRelease) -> None:
        before, self._held = self._held, held
        log.info(
            "release %s is live%s: cutoff %s, lists %s",
            held.id,
            f", after {before.id}" if before else "",
            held.release.as_of,
            dict(held.release.lists),
        )
        for tell in self.listeners:
            tell(held)

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.log(
                logging.WARNING if trouble else logging.INFO,
                "release: %s",
                trouble or "the pointer can be followed again",
            )
        self.trouble = trouble

    def _look(self) -> None:
        self.follow()
        for look in self.beside:
            look()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(WATCH_S)
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self._look()
            except Exception:  # the watcher must survive a failing listener
                log.exception("following the release failed")


def age_hours(instant: str, now: datetime | None = None) -> float:
    """Return the hours since an ISO 8601 instant. UTC if it has no zone."""
    then = datetime.fromisoformat(instant)
    return ((now or datetime.now(UTC)) - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds() / 3600


def instant(us: int) -> str:
    """Format microseconds since 1970 as ISO 8601 UTC, to the second."""
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds")


def load_release(cache: Cache, settings: Settings, name: str) -> HeldRelease:
    """Read a release's manifest, item tables and popular lists from Redis.

    A popular list that Redis has lost comes from the stored files on this machine, if any.
    Raises ReleaseIncomplete, ServiceError.
    """
    keys = cache.keys
    manifest, *tables = cache.get_many([keys.manifest(name), *(keys.items(name, e) for e in Entity)])
    if manifest is None or any(t is None for t in tables):
        raise ReleaseIncomplete(
            f"{keys.current} names the release {name}, which is not in Redis as a whole; "
            "promote another one (`python -m pipelines promote`) or publish it again"
        )
    items = {e: decode_items(t) for e, t in zip(Entity, tables, strict=True) if t is not None}
    release = Release.from_json(manifest)
    encoded = {s: cache.field(keys.lists(name, s), POPULAR_FIELD, RELEASES) for s in Surface}
    popular = {s: decode_list(p) for s, p in encoded.items() if p}
    folder = settings.artifacts / "releases" / name
    for surface in (s for s in Surface if s not in popular):
        with suppress(ReleaseIncomplete, OSError):
            popular[surface] = _stored_popular(folder, release, surface)
    return HeldRelease.from_parts(release, items, popular, settings)


def _stored_popular(folder: Path, release: Release, surface: Surface) -> StoredList:
    return decode_list(encode_lists(popular_list(folder, release, surface))[0])


def load_from_files(settings: Settings, pointer: str = "") -> HeldRelease:
    """Load the stored release of this name, else the last live one. No other release is served.

    Raises ReleaseNotFound, ReleaseIncomplete, BundleError, OSError.
    """
    folder = settings.artifacts / "releases"
    there = pointer and (folder / pointer / MANIFEST).is_file()
    name = pointer if there else last_published(settings.artifacts)
    if name is None:
        raise ReleaseNotFound(f"no release that was live is stored in {folder}; run `python -m pipelines build`")
    release = Release.from_json((folder / name / MANIFEST).read_bytes())
    catalogue = open_bundle(CATALOGUE, settings.artifacts / "bundles" / CATALOGUE / release.bundles[CATALOGUE])
    items: dict[Entity, ItemTable] = {e: decode_items(encode_items(x)) for e, x in entities_of(catalogue).items()}
    popular = {s: _stored_popular(folder / name, release, s) for s in Surface if s in release.kinds}
    return HeldRelease.from_parts(release, items, popular, settings)


class StoredFiles:
    """Reads stored lists from this machine for owners whose list Redis does not give.

    A few files stay open. Each holds the lists of one shard, owners ascending.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.artifacts / "releases"
        self._opened = lru_cache(maxsize=16)(self._open)
        self._one_at_a_time = Lock()

    def list_of(self, held: HeldRelease, kind: ListKind, owner: str) -> StoredList | None:
        """Return an owner's list. None if the release has none or its files are not on this machine."""
        row = int(held.items[kind.owner].ids.rows_of([owner])[0])
        for shard in held.release.shards if row >= 0 else ():
            if shard["surface"] == kind.value:
                lists = self._lists(held.release, shard_file(kind, shard["index"]))
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
            log.warning("%s is missing or differs from what was published", path)
            return None
        return RankedLists.open(path)
