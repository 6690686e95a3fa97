"""Collect the metrics of all processes of a reader in its own folder, with a bounded number of files."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the name that prometheus_client reads
PREFIX = "matchbook-metrics-"
_HELD, _ONE_AT_A_TIME = "held", "one-at-a-time"
_OURS = re.compile(r"(counter|histogram)_(\d+)\.db")
_GONE = 0  # process id in the file that adds ended processes: no process has it


def open_folder(home: Path) -> Path:
    """Make a folder for this reader in MATCHBOOK_HOME/run, or in the temporary directory if home is read-only.

    A lock protects it until this process and its children end. Folders of killed readers are removed.
    """
    places = home / "run", Path(tempfile.gettempdir())
    for place in places:
        with suppress(OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_left(place)
    for place in places:
        with suppress(OSError):
            made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
            held = os.open(made / _HELD, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX)  # locked before the rename, so no other reader removes it
            return made.rename(place / made.name.removeprefix("."))
    raise OSError(f"{places[0]} or {places[1]} must be writable for the metrics of the reader's processes; neither is")


def use(folder: Path) -> None:
    os.environ[FOLDER] = str(folder)


def used() -> Path | None:
    """Return the folder of prometheus_client. None if it keeps its numbers in memory."""
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder else None


def _remove_left(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / _HELD).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def fold_ended(folder: Path | None) -> None:
    """Add the files of ended processes into one file, so that the number of files stays bounded."""
    from prometheus_client.mmap_dict import MmapedDict

    if folder is None:
        return
    with alone(folder):
        ended = [
            (path, found)
            for path in folder.iterdir()
            if (found := _OURS.fullmatch(path.name)) and not _runs(int(found[2]))
        ]
        for path, found in ended:
            total = MmapedDict(str(folder / f"{found[1]}_{_GONE}.db"))  # type: ignore[no-untyped-call]
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
                total.write_value(key, total.read_value(key)[0] + value, 0.0)  # type: ignore[no-untyped-call]
            total.close()  # type: ignore[no-untyped-call]
            path.unlink()


def exposition() -> bytes:
    """Return the metrics of all processes of this reader in Prometheus text format."""
    from prometheus_client import generate_latest

    with _readable() as registry:
        return generate_latest(registry)


def collected() -> list[Metric]:
    """Return the metrics of all processes of this reader."""
    with _readable() as registry:
        return list(registry.collect())


@contextmanager
def _readable() -> Iterator[CollectorRegistry]:
    """Yield a registry with the metrics of all processes, and keep other processes from merging files."""
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    folder = used()
    if folder is None:
        yield REGISTRY
        return
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    with alone(folder):
        yield registry


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock a folder, so that no other process reads or merges its files at the same time."""
    with (folder / _ONE_AT_A_TIME).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _runs(pid: int) -> bool:
    """Return whether a process of this reader runs. True for _GONE, whose file must not be merged."""
    if pid == _GONE:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # the id now belongs to another user's process
    return True
