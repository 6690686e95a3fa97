"""The releases that this reader can find: in Redis, on this machine, or by the summary of their build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from models.errors import MatchbookError
from models.lists.release import MANIFEST, Release, rollback_to, went_live
from models.recommender.surface import open_bundles
from models.schema import Surface
from models.settings.settings import Settings
from models.stacked_ranker.scorer import STACKED, is_mean
from serving.clients.redis import PAGE, Cache
from serving.console.builds import summaries, verdict
from serving.console.formats import gap

STATES = {"live": "good", "loaded": "", "stored": ""}


@dataclass(frozen=True)
class Known:
    """A release. state: live, loaded (in Redis, a rollback needs no files) or stored.

    build: the summary of the build's report, if it is stored. manifest: None if only the summary is known.
    """

    id: str
    state: str
    as_of: str
    generated_at: str
    manifest: Release | None
    build: Mapping[str, Any] | None

    @property
    def built(self) -> str:
        """Return the cutoff of its build. A release with an older one replaces a newer one only by force."""
        return self.order[0]

    @property
    def lists(self) -> int | None:
        return sum(self.manifest.lists.values()) if self.manifest else None

    @property
    def order(self) -> tuple[str, str, str]:
        """Return `Release.order`. A build of which only the summary is known was not refreshed."""
        return self.manifest.order if self.manifest else (self.as_of, self.as_of, self.generated_at)

    def beside(self, other: Known) -> str:
        """Return how much older or newer than another one it is, such as "3 h older"."""
        mine, its = next((pair for pair in zip(self.order, other.order, strict=True) if pair[0] != pair[1]), ("", ""))
        return f"{gap(mine, its)} {'older' if mine < its else 'newer'}" if mine else "equally old"

    @property
    def said(self) -> tuple[str, str]:
        """Return what the gate said, and the kind of its badge."""
        return verdict(self.build or {})


@dataclass(frozen=True)
class Around:
    """The live release. back: where a rollback leads, always an older one. newer: the last live one that is newer."""

    live: Known | None
    back: Known | None
    newer: Known | None


class StoredReleases:
    """Finds releases. Each method raises ServiceError if Redis does not answer."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        self._settings, self._artifacts, self._cache = settings, settings.artifacts, cache

    def all(self) -> list[Known]:
        """Return every release, the newest cutoff first; the live one is marked."""
        return self._found(p.read_bytes() for p in self._artifacts.glob(f"releases/*/{MANIFEST}"))

    def _found(self, files: Iterable[bytes]) -> list[Known]:
        """Return the releases of these manifests, of Redis, and of summaries, in the order of `all`."""
        keys = self._cache.keys
        live, earlier = self._live(), self._history()
        loaded = list(dict.fromkeys([*([live] if live else []), *earlier]))
        manifests = dict(_read(self._cache.get_many([keys.manifest(name) for name in loaded], PAGE)))
        manifests = {**dict(_read(files)), **manifests}
        builds = {b["release"]: b for b in summaries(self._cache)}
        state = dict.fromkeys(loaded, "loaded") | ({live: "live"} if live else {})
        found = [_known(n, state.get(n, "stored"), manifests.get(n), builds) for n in {**builds, **manifests}]
        return sorted(found, key=lambda r: (r.as_of, r.generated_at), reverse=True)

    def one(self, name: str) -> Known | None:
        return next((r for r in self.all() if r.id == name), None)

    def around(self) -> Around:
        """Return the live release, and where "roll back" and "promote" lead among those that were live before."""
        found = {r.id: r for r in self._found(())}
        live = next((r for r in found.values() if r.state == "live"), None)
        before = [found[name] for name in self._history() if name in found]
        manifests = [r.manifest for r in before if r.manifest]
        back = rollback_to(live.manifest if live else None, manifests)
        newer = [r for r in before if live and r.order > live.order]
        return Around(live, found[back.id] if back else None, newer[0] if newer else None)

    def went_live(self, name: str) -> dict[str, Any] | None:
        """Return how a release went live last: {at, reason, by if a person decided it}. None if nothing here says."""
        with suppress(OSError, ValueError, LookupError):
            return went_live(self._artifacts, name)
        return None

    def means(self, release: Release | None) -> list[Surface]:
        """Return the surfaces of a release whose ranker "stacked" is a mean, see `is_mean`.

        Empty if the bundle is not on this machine.
        """
        versions = {n: v for n, v in release.bundles.items() if n == STACKED} if release else {}
        found = open_bundles(self._artifacts, versions, self._settings, lenient=True)
        return [s for s in Surface if STACKED in found and is_mean(found[STACKED], s)]

    def _history(self) -> list[str]:
        """Return those that were live before, the last one first."""
        return self._cache.listed(self._cache.keys.history)

    def _live(self) -> str:
        return (self._cache.get(self._cache.keys.current, PAGE) or b"").decode(errors="replace")


def _known(name: str, state: str, manifest: Release | None, builds: Mapping[str, Mapping[str, Any]]) -> Known:
    build = builds.get(manifest.build if manifest else name)
    told: Any = manifest or build
    if manifest is not None:
        return Known(name, state, manifest.as_of, manifest.generated_at, manifest, build)
    return Known(name, state, told["as_of"], told["generated_at"], None, build)


def _read(texts: Iterable[bytes | None]) -> Iterator[tuple[str, Release]]:
    """Yield the readable manifests by release. A damaged one is left out: `promote` says what is wrong with it."""
    for text in texts:
        with suppress(MatchbookError, OSError):
            if text is not None:
                release = Release.from_json(text)
                yield release.id, release
