"""One session of tests, in one process or in several: its temporary folder, its threads, what is made once."""

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
from pathlib import Path
from typing import Any

PREFIX = "matchbook-tests-"
LOCK = "session.lock"
#: A file system in memory: copying a database costs half as much there. Used with FREE bytes left, else the disk.
MEMORY, FREE = Path("/dev/shm"), 1 << 30
_IN_MEMORY = "TESTS_MEMORY"
#: Folders whose files share what takes long to make: one process runs all of them.
TOGETHER = ("tests/e2e/", "tests/pipelines/erase/", "tests/pipelines/refresh/")


def begin() -> None:
    """Make the temporary folder of the session. A worker of pytest-xdist finds it in TMPDIR."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    # Kept, compiled modules save each worker and each process that a test starts seconds; pytest keeps its own, too.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    parent = tempfile.gettempdir()
    _remove_orphans(Path(parent))
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", parent)  # pytest keeps its own folders of the last three sessions
    os.environ["TMPDIR"] = tempfile.tempdir = os.environ[_IN_MEMORY] = str(_folder(Path(parent)))
    if _usable(MEMORY):
        _remove_orphans(MEMORY)
        os.environ[_IN_MEMORY] = str(_folder(MEMORY))


def _folder(parent: Path) -> Path:
    """A folder of this session, locked while the session runs and removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    folder.chmod(0o1777)  # tests run as other accounts, too
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lock = (folder / LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    atexit.register(lock.close)
    return folder


def _usable(memory: Path) -> bool:
    """Whether servers can run there. As root they may run from a copy of their programs in their home."""
    return (
        memory.is_dir()
        and os.access(memory, os.W_OK | os.X_OK)
        and not os.statvfs(memory).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(memory).free >= FREE
    )


def share_cores() -> None:
    """Give each worker that starts from here on one thread for linear algebra: workers would fight over the cores."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def _remove_orphans(parent: Path) -> None:
    """Stop the servers of sessions that were killed, and remove their folders."""
    for lock in parent.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError), lock.open("w") as held:  # OSError: it lives, or is another account's
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop_servers(lock.parent)
            shutil.rmtree(lock.parent, ignore_errors=True)


def _stop_servers(folder: Path) -> None:
    from local.servers import remove_home
    from models.settings.settings import Settings

    for home in [p.parent for depth in ("*", "*/*") for p in folder.glob(f"{depth}/servers.json")]:
        remove_home(Settings(home=home))


def open_folder(parent: str | None = None) -> Path:
    """A new folder of the session that every account can reach."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    folder.chmod(0o755)
    return folder


def memory_folder() -> Path:
    """A new folder in memory, if there is space, that every account can reach; for servers' homes."""
    return open_folder(os.environ[_IN_MEMORY])


def prepared_home() -> Path:
    """A new home in memory whose PostgreSQL was initialised once in the session and is stopped."""
    home = memory_folder() / "home"
    prepared = once("prepared-home", _prepare).resolve()
    subprocess.run(["cp", "-a", prepared, home], check=True)  # as root, owners stay
    return home


def _prepare(target: Path) -> None:
    import json

    from local.servers import servers
    from models.settings.settings import Settings

    home = memory_folder() / "home"
    with servers(Settings(home=home)):
        pass
    notes = json.loads((home / "servers.json").read_text())
    for kind in ("postgres", "redis"):
        notes[kind]["port"] = None  # each copy takes a port of its own
    (home / "servers.json").write_text(json.dumps(notes))
    target.symlink_to(home)


def once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first process of the session makes and all of them use; tests do not change what it holds."""
    folder = Path(tempfile.gettempdir()) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            aside = folder.with_suffix(".new")
            shutil.rmtree(aside, ignore_errors=True)
            make(aside)
            aside.rename(folder)
    return folder


def scheduler(config: Any, log: Any) -> Any:
    """How `--dist loadfile` hands tests out: whole files, and the folders of TOGETHER whole."""
    from xdist.scheduler import LoadFileScheduling

    class WholeFolders(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))

    return WholeFolders(config, log) if config.getvalue("dist") == "loadfile" else None
