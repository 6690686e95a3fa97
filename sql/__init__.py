"""SQL files: clients run `queries/`; `migrations/` and `platform/` run in order; `staging/` imports.

Every query starts with a comment (question, parameters, columns, order, index). `load` removes it, because a driver
would read `:name` in a comment as a parameter.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
#: Headings that every query's comment must have.
HEADINGS = ("Question", "Parameters", "Columns", "Order", "Index")
_NOTE = "Note"


def names() -> list[str]:
    """Return the sorted names of all queries, such as `users` and `owner/user`, for `load`."""
    folder = _HERE / "queries"
    return sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.sql"))


def load(name: str, folder: str = "queries") -> str:
    """Return the statement of `<folder>/<name>.sql` without its comment. Raises KeyError with known names."""
    return "\n".join(line for line in _read(name, folder).splitlines() if not line.startswith("--")).strip()


def header(name: str) -> dict[str, str]:
    """Return a query's comment: heading -> text, with continuation lines joined."""
    found: dict[str, str] = {}
    heading = ""
    for line in _read(name).splitlines():
        if not line.startswith("--"):
            break
        word, colon, rest = line[2:].strip().partition(":")
        if colon and word in (*HEADINGS, _NOTE):
            heading, found[word] = word, rest.strip()
        elif heading:
            found[heading] = f"{found[heading]} {line[2:].strip()}"
    return found


def scripts(folder: str) -> list[tuple[str, str]]:
    """Return (`<folder>/<file name>`, text) of every script of `migrations` or `platform`, in order."""
    return [(f"{folder}/{p.name}", p.read_text(encoding="utf-8")) for p in sorted((_HERE / folder).glob("*.sql"))]


def _read(name: str, folder: str = "queries") -> str:
    path = _HERE / folder / f"{name}.sql"
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.sql"))
        raise KeyError(f"no {name!r} in sql/{folder}; known are {', '.join(known)}")
    return path.read_text(encoding="utf-8")
