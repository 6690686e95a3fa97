"""Folders of the embedded servers, and the account that they run as.

PostgreSQL refuses to run as root. As root, we run both servers as an unprivileged account, with files in a directory
that it can reach. This is MATCHBOOK_HOME if the account can traverse every parent. Otherwise it is a directory below
/var/lib, which MATCHBOOK_HOME records and `make reset` removes. Modes of parents never change.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ServiceError

RECORD = "placed-elsewhere"  # in the home: the path of the directory outside it
OWNER = "matchbook-home"  # in that directory: the path of its home


@dataclass(frozen=True)
class Account:
    """The unprivileged account of the servers when we are root."""

    uid: int
    gid: int

    def demotion(self) -> dict[str, Any]:
        """Return the arguments that make `subprocess` start a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass(frozen=True)
class Place:
    """A directory for the servers' files. account: None if they run as the current user."""

    directory: Path
    account: Account | None

    def folder(self, name: str) -> Path:
        """Return a private folder of this name, created if missing and owned by the account."""
        path = self.directory / name
        path.mkdir(mode=0o700, exist_ok=True)
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)
        return path

    def give(self, path: Path) -> Path:
        """Change the owner of a file or tree to the account."""
        if self.account is not None:
            for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
                os.chown(each, self.account.uid, self.account.gid, follow_symlinks=False)
        return path

    def reachable(self, path: Path) -> bool:
        """Return whether the account may read and run `path`."""
        others = stat.S_IROTH | stat.S_IXOTH
        return self.account is None or (path.stat().st_mode & others == others and _traversable(path))


def place_of(home: Path) -> Place:
    """Return the place of this home, created if missing. Raises ServiceError."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            return Place(home, None)
        account = _unprivileged()
        elsewhere = recorded_elsewhere(home)
        if elsewhere is None and _traversable(home / "postgres"):
            return Place(home, account)
        return Place(elsewhere or _place_elsewhere(home), account)
    except OSError as error:
        raise unusable(home, error) from error


def unusable(home: Path, error: OSError) -> ServiceError:
    return ServiceError(f"MATCHBOOK_HOME={home} cannot be used: {error}; name another with MATCHBOOK_HOME=<folder>")


def recorded_elsewhere(home: Path) -> Path | None:
    """Return the directory outside the home that belongs to it, or None."""
    record = home / RECORD
    if not record.is_file():
        return None
    directory = Path(record.read_text().strip())
    return directory if _belongs(directory, home) else None


def remove_elsewhere(home: Path) -> Path | None:
    """Remove the directory outside the home, if it is marked as this home's; return its path."""
    directory = recorded_elsewhere(home)
    if directory is not None:
        shutil.rmtree(directory)
        (home / RECORD).unlink()
    return directory


def _place_elsewhere(home: Path) -> Path:
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    directory = _parent() / f"matchbook-{digest}"
    if _belongs(directory, home):  # left with its passwords by an earlier home that was deleted by hand
        shutil.rmtree(directory)
    directory.mkdir(mode=0o711)
    directory.chmod(0o711)  # independent of the umask, because the account needs access
    (directory / OWNER).write_text(str(home))
    (home / RECORD).write_text(f"{directory}\n")
    return directory


def _parent() -> Path:
    for parent in (Path("/var/lib"), Path(tempfile.gettempdir())):
        if parent.is_dir() and os.access(parent, os.W_OK) and _traversable(parent / "x"):
            return parent
    raise ServiceError(
        "found no directory that an unprivileged account can reach (tried /var/lib and the temporary "
        "one); set MATCHBOOK_HOME to one, or run as an ordinary user"
    )


def _belongs(directory: Path, home: Path) -> bool:
    owner = directory / OWNER
    return owner.is_file() and owner.read_text() == str(home)


def _traversable(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents if parent.exists())


def _unprivileged() -> Account:
    try:
        found = pwd.getpwnam("nobody")
    except KeyError:
        return Account(65534, 65534)
    return Account(found.pw_uid, found.pw_gid)
