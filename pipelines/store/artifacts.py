"""The store of snapshots, bundles, releases and runs. Artefacts are renamed into place and never change."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import shutil
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from models.data.bundle import Bundle, open_bundle, write_bundle
from models.errors import BundleError, BundleNotFound, DataError, ReleaseIncomplete, ReleaseNotFound
from models.lists.release import MANIFEST, Release
from models.settings.settings import Settings
from pipelines.store import mirror
from pipelines.store.mirror import whole_here

_LOG = logging.getLogger(__name__)
#: Models that make lists, and models that evaluate a build.
BUNDLES, HOLDOUTS = "bundles", "holdouts"
#: Artefacts made at past cutoffs (pipelines/train/cutoffs.py).
CUTS = "cuts"


class Artifacts:
    def __init__(self, settings: Settings) -> None:
        self.root, self._settings = settings.artifacts, settings

    def stored(self, kind: str) -> list[Path]:
        """Return all finished directories of a kind ("snapshots", "bundles/als_v1"), oldest cutoff first."""
        folder = self.root / kind
        return (
            sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")) if folder.is_dir() else []
        )

    def place(self, kind: str, name: str, fill: Callable[[Path], None]) -> Path:
        """Fill a temporary directory and rename it to kind/name. An existing one has equal content and stays.

        If object storage is used, the directory is also stored there before this returns.
        """
        target = self.root / kind / name
        if not target.exists():
            mirror.begin(self._settings, f"{kind}/{name}")
            aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
            aside.mkdir(parents=True, mode=0o700)
            try:
                fill(aside)
                aside.rename(target)
            except OSError:
                if not target.exists():  # else another run placed the same content first
                    raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        mirror.store(self._settings, f"{kind}/{name}")
        return target

    def remove(self, kind: str, name: str) -> None:
        """Remove a stored directory, also from object storage."""
        mirror.remove(self._settings, f"{kind}/{name}")

    def open_sound(self, kind: str, directory: str, name: str) -> Bundle | None:
        """Open a stored bundle. Return None if there is none, also after removing a damaged one."""
        path = self.root / kind / directory
        if not path.exists():
            return None
        try:
            return open_bundle(name, path)
        except BundleError as error:
            _LOG.warning("%s is made again: %s", path.name, error)
            self.remove(kind, directory)
            return None

    def remove_cuts(self, unused_since: float = math.inf) -> list[str]:
        """Remove artefacts of past cutoffs that were not used since a time (seconds since 1970); by default all."""
        found = [
            (f"{CUTS}/{cut.name}", path)
            for cut in self.stored(CUTS)
            for path in self.stored(f"{CUTS}/{cut.name}")
            if path.stat().st_mtime < unused_since
        ]
        for kind, path in found:
            self.remove(kind, path.name)
        for cut in self.stored(CUTS):
            if not any(cut.iterdir()):
                cut.rmdir()
        return [f"{kind}/{path.name}" for kind, path in found]

    def store_bundle(self, bundle: Bundle, slug: str, kind: str = BUNDLES) -> str:
        """Write a bundle; return its version, which depends only on content. kind: BUNDLES or HOLDOUTS.

        Replaces a damaged stored one.
        """
        version = f"{slug}-{bundle.digest()[:8]}"
        self.open_sound(f"{kind}/{bundle.name}", version, bundle.name)
        self.place(f"{kind}/{bundle.name}", version, lambda directory: write_bundle(bundle, directory))
        return version

    def open_bundle(self, name: str, version: str, kind: str = BUNDLES) -> Bundle:
        """Read and verify one stored bundle."""
        return open_bundle(name, self.root / kind / name / version)

    def latest_bundle(self, name: str) -> Bundle:
        """Return the bundle of the newest cutoff. Raises BundleNotFound."""
        versions = self.stored(f"bundles/{name}")
        if not versions:
            raise BundleNotFound(
                f"expected a bundle {name} under {self.root / 'bundles'}, found none; run `python -m pipelines build`"
            )
        return open_bundle(name, versions[-1])

    def directory(self, release: str) -> Path:
        """Return the path of a release, stored or not."""
        return self.root / "releases" / release

    def release(self, name: str) -> Release:
        """Return the manifest of a stored release.

        Raises ReleaseNotFound with the names of stored releases, ReleaseIncomplete.
        """
        path = self.directory(name) / MANIFEST
        if not path.is_file():
            there = ", ".join(p.name for p in self.stored("releases")) or "none"
            raise ReleaseNotFound(f"no release {name!r}; stored are: {there}")
        release = Release.from_json(path.read_bytes())
        if release.id != name:
            raise ReleaseIncomplete(
                f"{path} belongs to {release.id}; build this cutoff again, or promote another release"
            )
        return release

    def releases(self) -> list[Release]:
        """Return every stored release, oldest cutoff first."""
        return [self.release(p.name) for p in self.stored("releases")]

    def write_json(self, path: Path, value: Any) -> None:
        """Replace a small JSON file atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        write_private(aside, json.dumps(value, indent=1, sort_keys=True))
        aside.rename(path)


def append_private(path: Path, line: str) -> None:
    """Append a line to a private file atomically; safe for several processes.

    A file larger than `mirror.RECORD_MOST` loses its older half.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_size > mirror.RECORD_MOST:
            kept = mirror.newest_lines(file.read().decode(errors="replace")).encode()
            file.truncate(0)
            file.write(kept)
        file.write(f"{line}\n".encode())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read (L03)."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(text)


def copy_artifacts(settings: Settings, old: Path) -> list[str]:
    """Copy every finished directory and the top-level small files of `old`, unless they exist.

    Returns the directories. Raises DataError if `old` holds no artefacts, ServiceError from the store.
    """
    found = sorted(whole_here(old))
    if not found:
        raise DataError(
            f"expected snapshots, bundles or releases in {old}, found none; give the folder of artefacts: "
            "`artifacts` in MATCHBOOK_HOME, or the old value of MATCHBOOK_ARTIFACTS"
        )
    artifacts = Artifacts(settings)
    for path in found:
        kind, _, name = path.rpartition("/")
        artifacts.place(kind, name, partial(_copy, old / path))
    for file in [*old.glob("*.json"), *old.glob("*.jsonl"), *(old / "reports").rglob("*")]:
        target = artifacts.root / file.relative_to(old)
        if file.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(file, target)
    return found


def _copy(source: Path, aside: Path) -> None:
    shutil.copytree(source, aside, dirs_exist_ok=True)
