"""Arrays in files, mapped into memory: all processes of a machine share their pages, and read them when first used."""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

#: Smaller arrays are read: a mapping costs an open file.
LEAST_BYTES = 1 << 18
#: Options of mallopt(3), and the size from which glibc returns freed memory at once.
_ARENA_MAX, _MMAP_THRESHOLD, LARGE_BYTES = -8, -3, 1 << 20


#: NumPy parses a file's header as Python. Before CPython 3.11.8, two threads that do so at once may get a SystemError.
_PARSING = threading.Lock()


def map_array(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file: read-only and mapped if it is large, else read.

    Raises OSError or ValueError if the file is missing or not a whole array.
    """
    return read_array(path, None if path.stat().st_size < LEAST_BYTES else "r")


def read_array(source: Path | IO[bytes], mapped: Literal["r"] | None = None) -> NDArray[Any]:
    """Return the array of a .npy file. Raises OSError, EOFError or ValueError if it is not a whole array."""
    with _PARSING:
        return np.asarray(np.load(source, mapped, allow_pickle=False))


def read_arrays(source: IO[bytes]) -> dict[str, NDArray[Any]]:
    """Return all arrays of an open .npz file. Raises errors of zipfile, zlib or NumPy if it is damaged."""
    with _PARSING, np.load(source, allow_pickle=False) as archive:
        return dict(archive)


def keep_little_freed_memory() -> None:
    """Let glibc use one heap for all threads, and return large arrays at once. Call this before threads start.

    By default each thread gets a heap of its own, which keeps what its largest computation used.
    """
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):
        set_option(_ARENA_MAX, 1)
        set_option(_MMAP_THRESHOLD, LARGE_BYTES)


def return_freed_memory() -> None:
    """Give memory that this process has freed back to the system, if the C library can."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def forget_pages(arrays: Iterable[NDArray[Any]]) -> None:
    """Release the pages that this process has read of mapped arrays. They stay in the system's cache."""
    for array in arrays:
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, mmap.mmap):
            base.madvise(mmap.MADV_DONTNEED)
