"""Secret keys that Matchbook makes for itself and keeps in MATCHBOOK_HOME, the same for all who read that folder."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from models.errors import FileError
from models.files import file_error, regular

#: Names of files: what signs the ids of answers, what hides owners in the access log.
ANSWER_KEY, PSEUDONYM_KEY = "answer-key", "pseudonym-key"

_SHORTEST = 32  # characters; a full disk leaves fewer


def kept_key(home: Path, name: str) -> bytes:
    """The key in the file of this name; made there, for its owner alone, where it is missing. Raises FileError."""
    path = home / name
    try:
        _make_missing(path)
    except OSError as error:
        raise file_error(error) from error
    secret = regular(path).read_text().strip()
    if len(secret) < _SHORTEST:
        raise FileError(f"{path} is cut off; remove it, and a new key is made")
    return key_from(secret)


def _make_missing(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(aside, path)  # of two that make one at once, the first is right for both
        except FileExistsError:
            pass
        finally:
            aside.unlink()


def key_from(secret: str) -> bytes:
    """32 bytes of a secret of any length."""
    return hashlib.blake2b(secret.strip().encode(), digest_size=32).digest()
