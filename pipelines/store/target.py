"""A folder or object storage that others read: each file is there whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from models.errors import ServiceError, file_error
from models.object_storage import answering

_WHAT = "target of the lists"


class Target:
    """A place for files, as a folder or an fsspec URL. Raises ServiceError or FileError if it cannot be used."""

    def __init__(self, url: str) -> None:
        self.url = url if "://" in url else str(Path(url).expanduser().absolute())

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        filesystem, base = url_to_fs(self.url)
        return filesystem, base.rstrip("/")

    @contextmanager
    def file(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file that appears, or replaces the one before, when the block ends without an error."""
        with self._used():
            place = f"{self._opened[1]}/{path}"
            # An object appears when its upload is committed. On a disk, a renamed file in the same folder does.
            aside = f"{place.rpartition('/')[0]}/.{uuid.uuid4().hex[:8]}" if self._local else place
            opened = self._begun(aside)
            try:
                yield opened
                opened.close()
                if self._local:
                    Path(aside).replace(place)
                else:
                    opened.commit()
            except BaseException:
                if self._local:
                    opened.close()
                    Path(aside).unlink(missing_ok=True)
                else:
                    opened.discard()
                    opened.closed = True  # else it would be uploaded when Python forgets it
                raise

    def _begun(self, place: str) -> Any:
        filesystem = self._opened[0]
        try:
            return filesystem.open(place, "wb", autocommit=self._local)
        except FileNotFoundError:  # folders only where they are needed: s3fs would make a missing bucket
            filesystem.makedirs(place.rpartition("/")[0], exist_ok=True)
            return filesystem.open(place, "wb", autocommit=self._local)

    def write(self, path: str, content: bytes) -> None:
        with self.file(path) as file:
            file.write(content)

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None if it is missing."""
        with self._used():
            filesystem, base = self._opened
            try:
                return bytes(filesystem.cat_file(f"{base}/{path}"))
            except FileNotFoundError:
                return None

    def folders(self) -> list[str]:
        """Return the sorted names of folders at the top."""
        with self._used():
            filesystem, base = self._opened
            filesystem.invalidate_cache()
            found = filesystem.ls(base, detail=True) if filesystem.exists(base) else []
        return sorted(f["name"].rstrip("/").rpartition("/")[2] for f in found if f["type"] == "directory")

    def remove(self, folder: str, first: str) -> None:
        """Remove a folder; its file `first` goes before all others."""
        with self._used():
            filesystem, base = self._opened
            for place in (f"{base}/{folder}/{first}", f"{base}/{folder}"):
                if filesystem.exists(place):
                    filesystem.rm(place, recursive=True)

    @property
    def _local(self) -> bool:
        return "://" not in self.url or self.url.startswith("file://")

    @contextmanager
    def _used(self) -> Iterator[None]:
        """Convert errors of the storage's library, and of the disk."""
        try:
            if self._local:
                yield
            else:
                with answering(self.url, _WHAT):
                    yield
        except FileNotFoundError as error:
            raise ServiceError(f"the {_WHAT} {self.url} is not there ({error}); make its bucket or folder") from error
        except OSError as error:
            raise file_error(error) from error
