"""The numbers of all processes of a reader: files of a folder of its own, bounded in number."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # as prometheus_client asks for it
PREFIX = "matchbook-metrics-"
_HELD, _ONE_AT_A_TIME = "held", "one-at-a-time"
_OURS = re.compile(r"(counter|histogram)_(\d+)\.db")
_GONE = 0  # the process under which the numbers of those that ended go on: no process has this id


def open_folder(home: Path) -> Path:
    """A folder of this reader's own in MATCHBOOK_HOME/run, in the temporary directory where home is read only.

    It is held until this process and its children have ended. What readers left that were killed is removed."""
    places = home / "run", Path(tempfile.gettempdir())
    for place in places:
        with suppress(OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_left(place)
    for place in places:
        with suppress(OSError):
            made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
            held = os.open(made / _HELD, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX)  # until then it has another name: nobody takes it for left
            return made.rename(place / made.name.removeprefix("."))
    raise OSError(f"neither {places[0]} nor {places[1]} can be written: the reader's processes count together there")


def use(folder: Path) -> None:
    """Tell prometheus_client, here and in the processes that are started from here, where to keep its numbers."""
    os.environ[FOLDER] = str(folder)


def used() -> Path | None:
    """The folder that prometheus_client was told of, None where it keeps its numbers in process."""
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder else None


def _remove_left(place: Path) -> None:
    """Remove the folders that nobody holds any more."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / _HELD).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def fold_ended(folder: Path | None) -> None:
    """Add the files of processes that ended into one, so that their number does not grow with every process."""
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


def told() -> bytes:
    """What all processes of this reader have counted, in the format of Prometheus."""
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    folder = used()
    if folder is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    with alone(folder):
        return generate_latest(registry)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody adds the files of a folder up, or into another, at the same time."""
    with (folder / _ONE_AT_A_TIME).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _runs(pid: int) -> bool:
    """Whether a process of this reader goes on; the file of those that ended stays what it is."""
    if pid == _GONE:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # somebody else's by now
    return True
