"""Arrays that the processes of a reader share: each is written once, and all processes map the file."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.data.mapped import LEAST_BYTES, forget_pages, map_array

log = logging.getLogger("matchbook.reader")
_FOLDER, _ONE_AT_A_TIME = "arrays", "one-at-a-time"


class SharedArrays:
    """The aligned arrays of one release, in a folder of the reader that is removed when it ends.

    A file is named by the content of its array, so equal arrays of surfaces and processes are one file. An array stays
    in this process's memory if there is no folder, or if the file cannot be written.
    """

    def __init__(self, reader: Path | None, release: str) -> None:
        self._root = None if reader is None else reader / _FOLDER
        self._folder = None if self._root is None else self._root / release
        self._kept: list[NDArray[Any]] = []

    def keep(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the mapped array of equal content, or the array itself if it is small or mapped already."""
        if self._folder is None or array.nbytes < LEAST_BYTES or not array.flags.c_contiguous:
            return array
        name = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
        name.update(array.data)
        path = self._folder / f"{name.hexdigest()}.npy"
        try:
            if not path.exists():
                aside = path.with_name("unfinished")
                with aside.open("wb") as file:
                    np.save(file, array, allow_pickle=False)
                aside.rename(path)
            found = map_array(path)
        except (OSError, ValueError) as error:
            log.warning("an array stays in the memory of each process: %s", error)
            return array
        self._kept.append(found)
        return found

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Let one process at a time open the models, so that the others find the files.

        Removes the arrays of other releases. Who has mapped them keeps them.
        """
        with ExitStack() as held:
            if self._root is not None and self._folder is not None:
                try:
                    self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    lock = held.enter_context((self._root / _ONE_AT_A_TIME).open("wb"))
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    for other in self._root.iterdir():
                        if other.is_dir() and other != self._folder:
                            shutil.rmtree(other, ignore_errors=True)
                except OSError as error:
                    log.warning("the processes share no arrays: %s", error)
            yield

    def forget_pages(self, bundles: Iterable[Bundle]) -> None:
        """Release the pages that this process has read of its mapped arrays. Requests read few of them again."""
        forget_pages([*self._kept, *(array for bundle in bundles for array in bundle.arrays.values())])
