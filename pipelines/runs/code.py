"""Which code runs here: the shards of one release are all made by the same."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("models", "pipelines", "sql")


@cache
def code_digest() -> str:
    """Twelve hex digits over every Python file and query that may shape a list; read once a process."""
    digest = hashlib.sha256()
    for path in sorted(p for part in _PARTS for p in (_ROOT / part).rglob("*") if p.suffix in (".py", ".sql")):
        digest.update(path.relative_to(_ROOT).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
