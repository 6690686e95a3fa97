"""Every error that Matchbook raises on purpose.

A message says what was expected, what came, where, and what to do. The client of a library wraps its errors once, with
`raise … from`. An unknown owner is not an error.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path


class MatchbookError(Exception):
    """The base class of these errors."""


class SettingsError(MatchbookError):
    """A setting is unknown or invalid. The message has the variable, the value and the rule."""


class FileError(MatchbookError):
    """A file or folder cannot be read or written. The message has its path, the reason and what to do."""


class DataError(MatchbookError):
    """A row, a file or a table is invalid."""


class MalformedEvent(DataError):
    """A field of an event is invalid."""

    def __init__(self, field: str, expected: str, got: object, hint: str) -> None:
        super().__init__(f"{field}: expected {expected}, got {got!r}; {hint}")
        self.field, self.expected, self.hint = field, expected, hint
        self.got = "nothing" if got is None else got if isinstance(got, str) else json.dumps(got, default=str)


class ContractError(DataError):
    """A contract view lacks a column or has another type."""


class EmptySnapshot(DataError):
    """No training data before the cutoff (P01)."""


class SnapshotShrunk(DataError):
    """The platform lacks rows of an earlier snapshot. Nothing is stored or trained."""


class LeakFound(DataError):
    """A model used events after its cutoff. Its metrics are worthless."""


class BundleError(MatchbookError):
    """A trained model cannot be used."""


class BundleNotFound(BundleError):
    """No bundle of that name and version (P03)."""


class BundleCorrupt(BundleError):
    """A bundle's checksum, shape or format differs from its manifest."""


class TrainingError(MatchbookError):
    """A model could not be trained, for example because of NaN factors or a degenerate loss."""


class TooSparse(TrainingError):
    """Too few events for this model (P01, P02). The build continues without it."""


class ReleaseError(MatchbookError):
    """Lists cannot be published or read."""


class ReleaseIncomplete(ReleaseError):
    """Counts or checksums differ from the manifest. The live release stays."""


class ReleaseNotFound(ReleaseError):
    """The named release does not exist, or none is live yet."""


class ReleaseTooBig(ReleaseError):
    """Redis has no room for a release. Nothing was written."""


class GateClosed(ReleaseError):
    """A release is worse than the live one, or too different. It is stored but not published."""


class RequestError(MatchbookError):
    """The reader refuses a request. code: a stable identifier for programs.

    retry_after_s: seconds until the same request may succeed; 0 if it never can.
    """

    status = 400
    retry_after_s = 0

    def __init__(self, code: str, expected: str, got: str, hint: str) -> None:
        super().__init__(f"expected {expected}, got {got!r}; {hint}")
        self.code, self.expected, self.got, self.hint = code, expected, got, hint


class NotIdentified(RequestError):
    """The API key is missing, unknown or expired."""

    status = 401


class NotAllowed(RequestError):
    """The API key lacks the scope."""

    status = 403


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""

    status = 408


class BodyTooLarge(RequestError):
    """The body exceeds the limit."""

    status = 413


class UrlTooLong(RequestError):
    """The URL exceeds the limit."""

    status = 414


class TooManyRequests(RequestError):
    """The caller exceeds its requests per minute."""

    status = 429

    def __init__(self, limit: int, retry_after_s: int) -> None:
        super().__init__(
            "too_many_requests",
            f"at most {limit} requests a minute",
            "more",
            f"ask again in {retry_after_s} s, ask for several owners at once with POST .../many, or raise "
            "[reader] rate_limit",
        )
        self.retry_after_s = retry_after_s


class TooManyEvents(RequestError):
    """The caller exceeds its events per minute, or its new pairs per day."""

    status = 429

    def __init__(self, expected: str, setting: str, retry_after_s: int) -> None:
        super().__init__(
            "too_many_events",
            expected,
            "more",
            f"send all of them again in {retry_after_s} s, with the same event ids, or raise {setting}",
        )
        self.retry_after_s = retry_after_s


class EventsNotTaken(RequestError):
    """The events cannot be stored now. None was stored."""

    status = 503

    def __init__(self, code: str, expected: str, got: str, retry_after_s: int) -> None:
        super().__init__(
            code,
            expected,
            got,
            f"send all of them again in {retry_after_s} s: the same event ids may "
            "come any number of times and count once",
        )
        self.retry_after_s = retry_after_s


class ServiceError(MatchbookError):
    """PostgreSQL, Redis or Airflow does not answer or cannot be started."""


#: The meaning of each error number, and what to do.
_TOLD = {
    errno.EACCES: "this account ({who}) may not read or write it; give it the right, e.g. `chown {uid} {path}`",
    errno.EPERM: "this account ({who}) may not change it; give it the right, e.g. `chown {uid} {path}`",
    errno.ENOENT: "it does not exist, or is a broken link; name an existing file",
    errno.EISDIR: "it is a folder, expected a file",
    errno.ENOTDIR: "a part of this path is a file, expected folders",
    errno.EEXIST: "something else exists there; move it away, or name another place",
    errno.ENOTEMPTY: "something else exists there; move it away, or name another place",
    errno.ELOOP: "its links form a loop",
    errno.ENOSPC: "the disk is full; make room, then run it again",
    errno.EDQUOT: "the disk quota is used up; make room, then run it again",
    errno.EFBIG: "it exceeds the largest file that this account may write (`ulimit -f`)",
    errno.EROFS: "its file system is read-only; name a writable place",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EIO: "the disk failed to read or write it; see the system's log",
    errno.ESTALE: "its file system is no longer mounted; mount it again",
    errno.EINVAL: "it is a pipe, a socket or a device, expected a file or a folder",
}

#: Failures of a write whose error names no file.
_NAMELESS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


def message_of(error: OSError) -> str:
    """Describe a failed file operation in one sentence; empty for other errors."""
    if error.errno not in _TOLD or (error.filename is None and error.errno not in _NAMELESS):
        return ""
    path = error.filename if error.filename is not None else "a file"
    said = _TOLD[error.errno].format(who=f"uid {os.geteuid()}", uid=os.geteuid(), path=path)
    return f"{path} cannot be used: {said}"


def file_error(error: OSError) -> FileError:
    """Make the FileError of a failed file operation. Raises any other error again."""
    said = message_of(error)
    if not said:
        raise error
    return FileError(said)


def regular(path: Path) -> Path:
    """Return the path of a regular file. Raises FileError for others: reading a pipe would block."""
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
