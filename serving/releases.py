"""The release that answers: held in process, switched as a whole, followed by a watcher within a second (R17)."""

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
from models.list_version import ListVersion, version_of
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import POPULAR_FIELD, StoredList, decode_list, encode_lists
from models.lists.release import MANIFEST, Release, last_published, popular_list, shard_file
from models.schema import Entity, Surface
from models.settings.settings import Settings
from serving.clients.redis import RELEASES, Cache

log = logging.getLogger("matchbook.reader")

WATCH_S = 1.0


@dataclass(frozen=True, eq=False)
class HeldRelease:
    """What the reader keeps of one release; an answer is made from exactly one of these, so it never mixes two.

    settings: the reader's own, under those that the release recorded."""

    release: Release
    items: Mapping[Entity, ItemTable]
    popular: Mapping[Surface, StoredList]
    settings: Settings = field(default_factory=Settings)
    _versions: dict[tuple[Any, ...], ListVersion] = field(default_factory=dict, repr=False)

    @property
    def id(self) -> str:
        return self.release.id

    @cached_property
    def experiments(self) -> tuple[Experiment, ...]:
        """Those that its lists were made with."""
        return experiments_of(self.release.experiments)

    def arm(self, surface: Surface, owner: str) -> tuple[Experiment, Arm] | None:
        """The experiment that an owner takes part in and their arm, None outside all."""
        return arm_on(self.experiments, surface, owner) if self.experiments else None

    def settings_of(self, surface: Surface, owner: str, recorded: Settings) -> Settings:
        """What the owner's list is made with: the release's settings, under those of the owner's arm."""
        found = self.arm(surface, owner)
        return recorded if found is None else found[1].apply(recorded)

    def generated_at(self, part: int = 0) -> str:
        """When a list was made: that of its part, since a refresh adds lists to a build."""
        parts = self.release.parts
        return str(parts[part]["generated_at"]) if part < len(parts) else self.release.generated_at

    def known_until_us(self, part: int | None) -> int:
        """The cutoff of the lists of a part, of the build where there is none, in microseconds since 1970 UTC."""
        parts = self.release.parts
        told = self.release.built if part is None or part >= len(parts) else str(parts[part]["as_of"])
        return int(datetime.fromisoformat(told).timestamp() * 1e6)

    def version(
        self, surface: Surface, listing: StoredList, arm: tuple[Experiment, Arm] | None, live: bool
    ) -> ListVersion:
        """Who ordered a list and with what (F10); worked out once for all lists that were made alike."""
        names = arm and (arm[0].name, arm[1].name)
        key = (surface, listing.method, listing.ranker, listing.part, names, live)
        if (known := self._versions.get(key)) is None:
            known = self._versions[key] = self._version(surface, listing, arm, live)
        return known

    def _version(
        self, surface: Surface, listing: StoredList, arm: tuple[Experiment, Arm] | None, live: bool
    ) -> ListVersion:
        settings = (with_own_pins if live else Settings.with_recorded)(self.settings, self.release.settings)
        if arm is not None:
            settings = arm[1].apply(settings)
        part = len(self.release.parts) if live else listing.part  # a live list is made from the newest bundles
        bundles, code = self.release.bundles_at(part), self.release.code_at(part)
        return version_of(surface, listing.method, listing.ranker, bundles, settings, code)


def with_own_pins(settings: Settings, recorded: Mapping[str, Any]) -> Settings:
    """What a list is computed live with: as the release recorded it, but a pin is the reader's own (M04)."""
    pins = {spec.pin_field: settings.at(spec.pin) for spec in registry.MODELS if spec.pin}
    return settings.with_recorded(recorded).layered(pins, "given")


class Releases:
    """Holds the live release and follows the pointer.

    A new release is loaded aside, off the request path, and taken over by one assignment; requests that began with
    the old one finish with it. `listeners` are told of each release taken over, e.g. to open its models; `beside` is
    called whenever the pointer has been looked at, to follow what else may move.
    """

    def __init__(
        self, cache: Cache, load: Callable[[str], HeldRelease], load_from_files: Callable[[str], HeldRelease]
    ) -> None:
        self._cache, self._load, self._load_from_files = cache, load, load_from_files
        self._held: HeldRelease | None = None
        self._stop, self._wake = threading.Event(), threading.Event()
        self._one_at_a_time = threading.Lock()
        self.trouble = ""
        self.gone: dict[Surface, str] = {}  # of what surfaces lists are missing from Redis
        self.listeners: list[Callable[[HeldRelease], None]] = []
        self.beside: list[Callable[[], None]] = []
        self._watcher = threading.Thread(target=self._watch, name="release-watcher", daemon=True)

    def start(self) -> None:
        """Take over what is live now, if it can be, and follow the pointer from here on."""
        self._look()
        self._watcher.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=5)

    @property
    def current(self) -> HeldRelease | None:
        """The release to answer from, if there is one."""
        return self._held

    @property
    def held(self) -> HeldRelease:
        """The release to answer from. Raises ReleaseNotFound where there has never been one."""
        if self._held is None:
            raise ReleaseNotFound("no release is live yet; run `python -m pipelines build`")
        return self._held

    def look_soon(self) -> None:
        """Something does not fit the release held: look at the pointer now."""
        self._wake.set()

    def follow(self) -> None:
        """Look at the pointer once and take over what it names; on any failure what is held stays. Where nothing is
        held the stored files answer: Redis is down, or has lost what was published."""
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
        """Nothing is held yet: answer from what is stored, degraded."""
        if self._held is None:
            try:
                self._take_over(self._load_from_files(pointer))
            except (MatchbookError, OSError, ValueError, LookupError) as error:
                log.warning("no release can be read from the artefact store either: %s", error)

    def _count(self) -> None:
        """See whether the lists of the release held are in Redis, all of them."""
        held, self.gone = self._held, {}
        if held is None:
            return
        try:
            there = self._cache.counts(held.id)
        except ServiceError:
            return  # it is down, which is said already
        for surface, count in there.items():
            expected = held.release.lists.get(surface.value, 0) + 1  # and the popular list
            if count < expected:
                self.gone[surface] = f"{count} of {expected} lists of release {held.id} are in Redis"

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
            except Exception:  # the watcher must outlive whatever a listener does
                log.exception("following the release failed")


def age_hours(instant: str, now: datetime | None = None) -> float:
    """Hours since an ISO 8601 instant."""
    then = datetime.fromisoformat(instant)
    return ((now or datetime.now(UTC)) - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds() / 3600


def instant(us: int) -> str:
    """ISO 8601 UTC, to the second, of microseconds since 1970."""
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds")


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
    return HeldRelease(release, items, popular, settings or Settings())


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
    popular = {s: _stored_popular(folder / name, release, s) for s in map(Surface, release.lists)}
    return HeldRelease(release, items, popular, settings)


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
