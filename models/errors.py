"""Every error Matchbook raises on purpose.

MatchbookError
├── SettingsError            at start: names the variable, the value, the rule
├── FileError                a file or folder cannot be read or written: names it, the reason, what to do
├── DataError                a row, a file or a table breaks a promise
│   ├── MalformedEvent       an event breaks a promise, and which of its fields does
│   ├── ContractError        a contract view lacks a column or has another type
│   ├── EmptySnapshot        nothing to learn from before the cutoff (P01)
│   ├── SnapshotShrunk       rows that an earlier snapshot holds are gone from the platform: nothing is trained
│   └── LeakFound            a model knows something from after the cut that judges it: the run stops, nothing is built
├── BundleError              a trained model cannot be used
│   ├── BundleNotFound       no such directory (P03)
│   └── BundleCorrupt        checksum, shape or format differs from the manifest
├── TrainingError            NaN factors, a degenerate loss
│   └── TooSparse            too few events for this model (P01, P02); a build goes on without it
├── ReleaseError             lists cannot be published or read
│   ├── ReleaseIncomplete    counts or checksums differ; the pointer is not moved
│   ├── ReleaseNotFound      no release of that name, or none is live yet
│   ├── GateClosed           a release is worse than, or too unlike, the live one: it is stored, not published
│   └── ReleaseTooBig        Redis has no room for it; nothing was written
├── RequestError             a request to the reader is refused; malformed ones are answered 400
│   ├── NotIdentified        401: no API key, or not one that is held
│   ├── NotAllowed           403: the key's scopes do not reach this far
│   ├── BodyTooSlow          408
│   ├── BodyTooLarge         413
│   ├── UrlTooLong           414
│   ├── TooManyRequests      429: the caller has asked more often in this minute than it may
│   ├── TooManyEvents        429: the caller has posted more than it may
│   └── EventsNotTaken       503: the events of a request cannot be kept now, not one of them was
└── ServiceError             PostgreSQL, Redis or Airflow does not answer or could not be started

A message says what was expected, what came, where, and what to do next. Foreign errors are wrapped once,
at the door that owns them, with `raise … from`. An unknown owner is not an error.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class MatchbookError(Exception):
    """Base of the tree: catch this to catch everything raised on purpose."""


class SettingsError(MatchbookError):
    """A setting is unknown or has an unusable value."""


class FileError(MatchbookError):
    """A file or folder cannot be read or written."""


class DataError(MatchbookError):
    """A row, a file or a table breaks a promise."""


class MalformedEvent(DataError):
    """An event breaks a promise: what its field was expected to be, what came, and what to do."""

    def __init__(self, field: str, expected: str, got: object, hint: str) -> None:
        super().__init__(f"{field}: expected {expected}, got {got!r}; {hint}")
        self.field, self.expected, self.got, self.hint = field, expected, str(got), hint


class ContractError(DataError):
    """A contract view lacks a column or has another type."""


class EmptySnapshot(DataError):
    """Nothing to learn from before the cutoff."""


class SnapshotShrunk(DataError):
    """Rows that an earlier snapshot holds are gone from the platform; nothing was stored or trained."""


class LeakFound(DataError):
    """A model knows something from after the cut that judges it; its figures would be worth nothing."""


class BundleError(MatchbookError):
    """A trained model cannot be used."""


class BundleNotFound(BundleError):
    """No bundle of that name and version."""


class BundleCorrupt(BundleError):
    """A file of a bundle differs from its manifest."""


class TrainingError(MatchbookError):
    """A model could not be fitted."""


class TooSparse(TrainingError):
    """Too few events for this model; a build goes on without it and its source abstains."""


class ReleaseError(MatchbookError):
    """Lists cannot be published or read."""


class ReleaseIncomplete(ReleaseError):
    """Counts or checksums differ from what was promised; the pointer is not moved."""


class ReleaseNotFound(ReleaseError):
    """No release of that name, or none is live yet."""


class ReleaseTooBig(ReleaseError):
    """Redis has no room for a release; nothing was written."""


class GateClosed(ReleaseError):
    """A release is worse than the live one, or too unlike it; it is stored, and what is live stays."""


class RequestError(MatchbookError):
    """A request to the reader is refused. code: a stable word for programs; the rest is for people.

    retry_after_s: after how many seconds the same request may succeed; 0 where it never will.
    """

    status = 400
    retry_after_s = 0

    def __init__(self, code: str, expected: str, got: str, hint: str) -> None:
        super().__init__(f"expected {expected}, got {got!r}; {hint}")
        self.code, self.expected, self.got, self.hint = code, expected, got, hint


class NotIdentified(RequestError):
    """No API key came with the request, or one that is not held, or has expired."""

    status = 401


class NotAllowed(RequestError):
    """The key is known, but its scopes do not reach this far."""

    status = 403


class BodyTooSlow(RequestError):
    """The body of the request did not come in time."""

    status = 408


class BodyTooLarge(RequestError):
    """The request brings more than is read."""

    status = 413


class UrlTooLong(RequestError):
    """The address of the request is longer than is read."""

    status = 414


class TooManyRequests(RequestError):
    """The caller has asked more often within the minute than it may."""

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
    """The caller has posted more events within the minute, or new pairs within the day, than it may."""

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
    """The events of a request cannot be kept now; not one of them was."""

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
    """A server does not answer or could not be started."""


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
