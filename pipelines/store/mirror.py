"""Local copy of an artefact store in object storage: updated before a step, uploaded after it.

`Artifacts.place` uploads immutable directories (snapshots, bundles, releases); they are fetched whole. Build staging
and small files at the top are copied to `loose/` when they change. `.jsonl` files keep the lines of all machines.
Training sets of a snapshot stay on their machine. Nothing is copied if the store is a shared directory.
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.data.bundle import sha256_of
from models.errors import ServiceError
from models.object_storage import COMPLETE, HERE, STORED, WHOLE, Storage, answering, is_stored, mark, marked, unmark
from models.settings.settings import Settings

log = logging.getLogger(__name__)
LOOSE = "loose"
_RUNS = "runs/"
#: Largest size in bytes of a record (`.jsonl`), enough for years. A larger one loses its older half.
RECORD_MOST = 8 << 20
#: Directories that are stored whole, named as in `Artifacts.place`.
_WHOLE_KINDS = ("snapshots/*", "releases/*", "bundles/*/*", "holdouts/*/*", "cuts/*/*")
#: The run name that means all runs.
EVERY = "*"
#: Keys of object information that identify a content version, for all storages.
_VERSION = ("size", "ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")


def pull(settings: Settings, run: str = "") -> None:
    """Fetch what other machines stored, and one run's staging; delete what they deleted.

    run: name of its staging directory, or EVERY. Raises ServiceError.
    """
    mirror = _Mirror.from_settings(settings)
    if mirror is not None:
        with mirror.alone():
            mirror.pull(run)


def pull_loose(settings: Settings, run: str = "") -> None:
    """Fetch only files that change: reports, figures, one run's staging. Raises ServiceError."""
    mirror = _Mirror.from_settings(settings)
    if mirror is not None:
        with mirror.alone():
            mirror.pull_loose(run)


def push(settings: Settings, run: str = "") -> None:
    """Upload changed files at the top and in one run's staging. Raises ServiceError."""
    mirror = _Mirror.from_settings(settings)
    if mirror is not None:
        with mirror.alone():
            mirror.push(run)


def begin(settings: Settings, path: str) -> None:
    """Record that a directory will be placed here, so that its files are not uploaded one by one."""
    if settings.artifacts_url:
        mark(settings.artifacts, path, HERE)


def store(settings: Settings, path: str) -> None:
    """Upload a finished directory below the artefact root, `.complete` last. Raises ServiceError."""
    storage, root = Storage.from_settings(settings), settings.artifacts
    if storage is None or is_stored(root, path):
        return
    if storage.contents(path) is None:  # else another machine stored the same content first
        files = {p.relative_to(root / path).as_posix(): p for p in sorted((root / path).rglob("*")) if p.is_file()}
        for name, file in files.items():
            _put(storage, file, f"{WHOLE}/{path}/{name}")
        content = json.dumps({name: sha256_of(file) for name, file in files.items()}, sort_keys=True)
        with answering(storage.url):
            storage.filesystem.pipe_file(storage.place(f"{WHOLE}/{path}/{COMPLETE}"), content.encode())
    mark(root, path, STORED)


def remove(settings: Settings, path: str) -> None:
    """Remove a directory locally and from the storage (there `.complete` first). Raises ServiceError."""
    storage, root = Storage.from_settings(settings), settings.artifacts
    if storage is not None:
        with answering(storage.url):
            for name in (f"{WHOLE}/{path}/{COMPLETE}", f"{WHOLE}/{path}", f"{LOOSE}/{path}"):
                if storage.filesystem.exists(storage.place(name)):
                    storage.filesystem.rm(storage.place(name), recursive=True)
        unmark(root, path)
    shutil.rmtree(root / path, ignore_errors=storage is not None)


def whole_here(root: Path) -> set[str]:
    """Return the finished immutable directories below an artefact root, uploaded or not."""
    found = (p for kind in _WHOLE_KINDS for p in root.glob(kind) if p.is_dir() and not p.name.startswith("."))
    return {p.relative_to(root).as_posix() for p in found}


def _put(storage: Storage, file: Path, name: str) -> None:
    place = storage.place(name)
    with answering(storage.url):
        storage.filesystem.makedirs(place.rpartition("/")[0], exist_ok=True)
        storage.filesystem.put_file(str(file), place)


class _Mirror:
    """The local copy of one storage.

    seen: loose file -> its version in the storage, local size and time.
    """

    def __init__(self, storage: Storage, root: Path) -> None:
        self._storage, self._root = storage, root
        self._notes = root / ".stored"
        self._seen: dict[str, list[Any]] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> _Mirror | None:
        storage = Storage.from_settings(settings)
        return None if storage is None else cls(storage, settings.artifacts)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock out other processes of this machine, so that incomplete local files never replace complete ones."""
        self._notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        record = self._notes / "loose.json"
        with (self._notes / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self._seen = json.loads(record.read_text()) if record.is_file() else {}
            yield
            record.write_text(json.dumps(self._seen))

    def pull(self, run: str) -> None:
        whole = {name.removesuffix(f"/{COMPLETE}") for name in self._listing(WHOLE) if name.endswith(f"/{COMPLETE}")}
        for path in sorted(whole):
            if _wanted(path, run):
                self._storage.bring(self._root, path)
        self._check_whole(whole)
        self._drop_removed(whole)
        self.pull_loose(run)

    def pull_loose(self, run: str) -> None:
        loose = self._listing(LOOSE)
        for name, version in loose.items():
            if _wanted(name, run) and self._seen.get(name, [None])[0] != version:
                self._fetch(name, version)
        for name in [n for n in self._seen if n not in loose]:
            self._forget(name)

    def push(self, run: str) -> None:
        whole = set(marked(self._root)) | whole_here(self._root)
        for file in sorted(self._root.rglob("*")):
            name = file.relative_to(self._root).as_posix()
            if file.is_file() and _is_loose(name, whole) and _wanted(name, run) and self._changed_here(name, file):
                if name.endswith(".jsonl"):
                    self._join(name, file)
                _put(self._storage, file, f"{LOOSE}/{name}")
                with answering(self._storage.url):
                    info = self._storage.filesystem.info(self._storage.place(f"{LOOSE}/{name}"))
                self._seen[name] = [_version(info), *_state(file)]

    def _listing(self, folder: str) -> dict[str, str]:
        """Return every object below a storage folder with its version."""
        storage, base = self._storage, self._storage.place(folder)
        with answering(storage.url):
            storage.filesystem.invalidate_cache()
            found: Mapping[str, Mapping[str, Any]] = storage.filesystem.find(base, detail=True)
        return {name[len(base) + 1 :]: _version(info) for name, info in found.items()}

    def _check_whole(self, whole: set[str]) -> None:
        """Raise ServiceError if the storage is suddenly empty: an unmounted share, or another bucket."""
        if not whole and STORED in marked(self._root).values():
            raise ServiceError(
                f"the artefact store {self._storage.url} is empty, but this machine has copies from it: "
                "check that MATCHBOOK_ARTIFACTS names the right place and that it is mounted; if it was "
                f"emptied on purpose, remove {self._root}"
            )

    def _drop_removed(self, whole: set[str]) -> None:
        for path, state in marked(self._root).items():
            if state == STORED and path not in whole:
                shutil.rmtree(self._root / path, ignore_errors=True)
                unmark(self._root, path)
                log.info("removed %s, which %s no longer has", path, self._storage.url)

    def _fetch(self, name: str, version: str) -> None:
        file, more = self._root / name, False
        if name.endswith(".jsonl") and file.is_file():
            more = self._join(name, file)
        else:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            aside = file.with_name(f".{file.name}.fetched")
            with answering(self._storage.url):
                self._storage.filesystem.get_file(self._storage.place(f"{LOOSE}/{name}"), str(aside))
            aside.chmod(0o600)
            aside.rename(file)
        self._seen[name] = [version] if more else [version, *_state(file)]

    def _join(self, name: str, file: Path) -> bool:
        """Merge the lines of both sides, the storage's first; return whether the storage lacks any."""
        try:
            with answering(self._storage.url):
                theirs = self._storage.filesystem.cat_file(self._storage.place(f"{LOOSE}/{name}")).decode().splitlines()
        except FileNotFoundError:
            return True
        mine = file.read_text().splitlines()
        known, here = set(theirs), set(mine)
        more = [line for line in mine if line not in known]
        if known - here:
            file.write_text(newest_lines("\n".join([*theirs, *more]) + "\n"))
        return bool(more)

    def _forget(self, name: str) -> None:
        """Delete a file that was deleted in the storage, unless it changed here."""
        file = self._root / name
        if file.is_file() and not self._changed_here(name, file):
            file.unlink()
        del self._seen[name]

    def _changed_here(self, name: str, file: Path) -> bool:
        return self._seen.get(name, [None])[1:] != _state(file)


def newest_lines(text: str, most: int | None = None) -> str:
    """Return the newest lines of a record: the newer half if it is larger than `most` (RECORD_MOST)."""
    most = most or RECORD_MOST
    if len(text) <= most:
        return text
    return text[-most // 2 :].partition("\n")[2]


def _wanted(name: str, run: str) -> bool:
    """Return whether a file belongs to this run or to no run."""
    return not name.startswith(_RUNS) or run == EVERY or (bool(run) and name.startswith(f"{_RUNS}{run}/"))


def _is_loose(name: str, whole: set[str]) -> bool:
    """Return whether a file is not hidden and not in a directory that is stored whole."""
    parts = name.split("/")
    above = ("/".join(parts[:i]) for i in range(1, len(parts)))
    return not any(p.startswith(".") for p in parts) and not any(a in whole for a in above)


def _version(info: Mapping[str, Any]) -> str:
    return json.dumps([str(info[key]) for key in _VERSION if key in info])


def _state(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]
