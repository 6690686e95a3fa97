"""The artefact store: a directory, or object storage with a local copy (MATCHBOOK_ARTIFACTS).

A snapshot, bundle or release is a directory that never changes. In object storage it is below `whole/`. It is complete
once `.complete` exists, with the sha256 of every file. It is fetched to a temporary directory, verified and renamed.
Files that change are below `loose/`, see `pipelines/store/mirror.py`.
"""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.data.bundle import sha256_of
from models.errors import MatchbookError, ServiceError
from models.settings.settings import Settings

log = logging.getLogger(__name__)
#: The object that marks a stored directory as complete: {file: sha256}.
COMPLETE = ".complete"
WHOLE = "whole"
STORED, HERE = "stored", "here"  # states of a directory: in the storage; not uploaded yet


@dataclass(frozen=True)
class Storage:
    """Object storage behind an fsspec URL. base: the path of all our objects."""

    url: str
    filesystem: Any
    base: str

    @classmethod
    def from_settings(cls, settings: Settings) -> Storage | None:
        """Open the configured storage; None if the store is a directory. Raises ServiceError."""
        return _opened(settings.artifacts_url) if settings.artifacts_url else None

    def place(self, path: str) -> str:
        return f"{self.base}/{path}"

    def contents(self, path: str) -> dict[str, str] | None:
        """Return the sha256 of each file of a stored directory; None if it is missing or incomplete."""
        with answering(self.url):
            try:
                found: dict[str, str] = json.loads(self.filesystem.cat_file(self.place(f"{WHOLE}/{path}/{COMPLETE}")))
            except FileNotFoundError:
                return None
        return found

    def bring(self, root: Path, path: str) -> bool:
        """Fetch a stored directory to root/path unless it exists; return False if the storage lacks it.

        Raises ServiceError, also if a file differs from its checksum.
        """
        target = root / path
        if target.is_dir():
            return True
        files = self.contents(path)
        if files is None:
            return False
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            for name, digest in files.items():
                self._fetch(f"{WHOLE}/{path}/{name}", aside / name, digest)
            aside.mkdir(parents=True, exist_ok=True, mode=0o700)
            mark(root, path, STORED)
            aside.rename(target)
        except OSError:
            if not target.is_dir():  # another process fetched it first
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        log.info("fetched %s from %s", path, self.url)
        return True

    def _fetch(self, path: str, target: Path, digest: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with answering(self.url):
            self.filesystem.get_file(self.place(path), str(target))
        target.chmod(0o600)
        if sha256_of(target) != digest:
            raise ServiceError(
                f"{path} in {self.url} is not what was stored there (sha256 differs); try again, and if it still "
                "differs remove it there and build this cutoff again"
            )


def download(settings: Settings, *paths: str) -> None:
    """Fetch stored directories that this machine lacks, if there is object storage.

    Raises ServiceError.
    """
    storage = Storage.from_settings(settings)
    if storage is not None:
        for path in paths:
            storage.bring(settings.artifacts, path)


def mark(root: Path, path: str, state: str) -> None:
    """Record a directory's state: STORED (deleted here when deleted from the storage) or HERE."""
    note = _note(root, path)
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    note.write_text(state)


def unmark(root: Path, path: str) -> None:
    """Delete the record."""
    _note(root, path).unlink(missing_ok=True)


def is_stored(root: Path, path: str) -> bool:
    """Return whether the storage has a directory, by its record."""
    note = _note(root, path)
    return note.is_file() and note.read_text() == STORED


def marked(root: Path) -> dict[str, str]:
    """Return every recorded directory and its state."""
    notes = root / ".stored"
    return {p.name.replace("@", "/"): p.read_text() for p in notes.iterdir() if "@" in p.name} if notes.is_dir() else {}


def _note(root: Path, path: str) -> Path:
    return root / ".stored" / path.replace("/", "@")


@contextmanager
def answering(url: str, what: str = "artefact store") -> Iterator[None]:
    """Convert errors of the storage's library to ServiceError, except FileNotFoundError."""
    try:
        yield
    except (MatchbookError, FileNotFoundError):
        raise
    except Exception as error:  # each storage raises its own exceptions
        raise ServiceError(
            f"the {what} {url} did not answer ({type(error).__name__}: {error}); check that it "
            "is reachable and its credentials are set, then try again"
        ) from error


@cache
def _opened(url: str) -> Storage:
    from fsspec.core import url_to_fs

    with answering(url):
        filesystem, base = url_to_fs(url)
    return Storage(url, filesystem, base.rstrip("/"))
