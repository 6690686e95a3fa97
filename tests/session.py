"""Manage a test session in one or several processes: temporary folder, threads, shared results."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.settings.settings import Settings

PREFIX = "matchbook-tests-"
LOCK = "session.lock"
#: A file system in memory, where copies of a database cost half. Used while FREE bytes are left, else the disk.
MEMORY, FREE = Path("/dev/shm"), 1 << 30
_IN_MEMORY = "TESTS_MEMORY"
#: Folders whose files share slow fixtures. One process runs all of them.
TOGETHER = ("tests/e2e/", "tests/pipelines/erase/", "tests/pipelines/refresh/")
#: Folders and files that take longest, in this order. They run first, so that no process ends long after the others.
LONGEST = (
    "tests/e2e/",
    "tests/tutorials/",
    "tests/dags/",
    "tests/pipelines/erase/",
    "tests/serving/http/test_fuzzed",
    "tests/pipelines/train",
    "tests/pipelines/",
    "tests/serving/",
)


def begin() -> None:
    """Make the temporary folder of the session. A worker of pytest-xdist finds it in TMPDIR."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    # Kept, compiled modules save each worker and each process that a test starts seconds; pytest keeps its own, too.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    parent = tempfile.gettempdir()
    _remove_orphans(Path(parent))
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", parent)  # pytest keeps its folders of the last three sessions
    os.environ["TMPDIR"] = tempfile.tempdir = os.environ[_IN_MEMORY] = str(_folder(Path(parent)))
    if _usable(MEMORY):
        _remove_orphans(MEMORY)
        os.environ[_IN_MEMORY] = str(_folder(MEMORY))


def _folder(parent: Path) -> Path:
    """Make a folder of this session, locked during the session and removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    folder.chmod(0o1777)  # tests also run under other accounts
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lock = (folder / LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    atexit.register(lock.close)
    return folder


def _usable(memory: Path) -> bool:
    """Return whether servers can run there. As root they may run a copy of their programs in their home."""
    return (
        memory.is_dir()
        and os.access(memory, os.W_OK | os.X_OK)
        and not os.statvfs(memory).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(memory).free >= FREE
    )


def share_cores() -> None:
    """Give each later worker one thread for linear algebra, so that workers do not compete for cores."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def _remove_orphans(parent: Path) -> None:
    """Stop the servers of killed sessions and remove their folders."""
    for lock in parent.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError), lock.open("w") as held:  # OSError: it runs, or is another account's
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop_servers(lock.parent)
            shutil.rmtree(lock.parent, ignore_errors=True)


def _stop_servers(folder: Path) -> None:
    from local.servers import remove_home
    from models.settings.settings import Settings

    for home in [p.parent for depth in ("*", "*/*") for p in folder.glob(f"{depth}/servers.json")]:
        remove_home(Settings(home=home))


def open_folder(parent: str | None = None) -> Path:
    """Make a folder of the session that every account can reach."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    folder.chmod(0o755)
    return folder


def memory_folder() -> Path:
    """Make a folder for servers' homes that every account can reach, in memory if there is space."""
    return open_folder(os.environ[_IN_MEMORY])


def prepared_home(name: str = "prepared-home", furnish: Callable[[Settings], None] | None = None) -> Path:
    """Make a home in memory whose PostgreSQL was initialised once in the session and is stopped.

    name, furnish: call this once with running servers, and copy what it leaves.
    """
    home = memory_folder() / "home"
    prepared = once(name, partial(_prepare, furnish)).resolve()
    subprocess.run(["cp", "-a", prepared, home], check=True)  # under root the owners stay
    return home


def _prepare(furnish: Callable[[Settings], None] | None, target: Path) -> None:
    import json

    from local.servers import servers
    from models.settings.settings import Settings

    home = prepared_home() if furnish else memory_folder() / "home"
    with servers(Settings(home=home)) as ready:
        if furnish:
            furnish(ready)
    notes = json.loads((home / "servers.json").read_text())
    for kind in ("postgres", "redis"):
        notes[kind]["port"] = None  # each copy gets its own port
    (home / "servers.json").write_text(json.dumps(notes))
    target.symlink_to(home)


def once(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first process makes and all processes use. Tests must not change it."""
    folder = Path(tempfile.gettempdir()) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            aside = folder.with_suffix(".new")
            shutil.rmtree(aside, ignore_errors=True)
            make(aside)
            aside.rename(folder)
    return folder


def without(text: str, path: Path) -> bool:
    """Return whether this is a file of tests without this text. Reading costs less than importing."""
    return path.name.startswith("test_") and path.suffix == ".py" and text not in path.read_text()


def scheduler(config: Any, log: Any) -> Any:
    """Distribute whole files as `--dist loadfile` does, and whole folders of TOGETHER. LONGEST come first."""
    from xdist.scheduler import LoadFileScheduling

    class WholeFolders(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))

        def _assign_work_unit(self, node: Any) -> None:
            self.workqueue.move_to_end(min(self.workqueue, key=place), last=False)
            super()._assign_work_unit(node)

    return WholeFolders(config, log) if config.getvalue("dist") == "loadfile" else None


def place(scope: str) -> int:
    """Return the place of a file or folder in LONGEST."""
    return next((n for n, longest in enumerate(LONGEST) if scope.startswith(longest)), len(LONGEST))
