"""What is wrong with a file that cannot be read or written, in one sentence that says what to do."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from models.errors import FileError

#: What each failure means, and what to do about it.
_TOLD = {
    errno.EACCES: "this account ({who}) may not read or write it; give it the right, e.g. `chown {uid} {path}`",
    errno.EPERM: "this account ({who}) may not change it; give it the right, e.g. `chown {uid} {path}`",
    errno.ENOENT: "it is not there, or is a link to what is not there; name what is",
    errno.EISDIR: "it is a folder, expected a file",
    errno.ENOTDIR: "a part of this path is a file, expected folders",
    errno.EEXIST: "something else stands there; move it away, or name another place",
    errno.ENOTEMPTY: "something else stands there; move it away, or name another place",
    errno.ELOOP: "its links lead in a circle",
    errno.ENOSPC: "the disk is full; make room, then run it again",
    errno.EDQUOT: "the disk quota is used up; make room, then run it again",
    errno.EFBIG: "it grew beyond what this account may write (`ulimit -f`)",
    errno.EROFS: "its file system is read-only; name a place that can be written",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EIO: "the disk failed to read or write it; see the system's log",
    errno.ESTALE: "the file system that held it is gone; mount it again",
    errno.EINVAL: "it is neither a file nor a folder but a pipe, a socket or a device",
}

#: Failures of a write, which name no file.
_NAMELESS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


def told(error: OSError) -> str:
    """One sentence about a failed file operation; empty where it is none (a connection, a process)."""
    if error.errno not in _TOLD or (error.filename is None and error.errno not in _NAMELESS):
        return ""
    path = error.filename if error.filename is not None else "a file"
    said = _TOLD[error.errno].format(who=f"uid {os.geteuid()}", uid=os.geteuid(), path=path)
    return f"{path} cannot be used: {said}"


def file_error(error: OSError) -> FileError:
    """The error to raise in place of a failed file operation; the same again where it is none."""
    said = told(error)
    if not said:
        raise error
    return FileError(said)


def regular(path: Path) -> Path:
    """The path, where it is an ordinary file: reading a pipe would wait for ever. Raises FileError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "", str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "", str(path))
        with path.open("rb"):
            return path
    except OSError as error:
        raise file_error(error) from error
