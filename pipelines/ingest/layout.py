"""The three files of a data folder: their columns, what a cell must hold, and the table they go to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from models.errors import DataError
from pipelines.ingest.rows import opened


class Cell(Enum):
    """What a cell may hold; blank is allowed wherever the column is not required."""

    ID = auto()
    TEXT = auto()
    PAST = auto()  # an instant that has happened: later than the import's start is an error
    EVENT = auto()  # PAST, of which perhaps only the day is told
    INSTANT = auto()  # an instant that may be planned
    COUNT = auto()
    KIND = auto()  # one of the seven event types


@dataclass(frozen=True)
class Column:
    """A column of a file and where it goes; a required one must be in the header and may not be blank."""

    name: str
    cell: Cell = Cell.TEXT
    required: bool = False
    stored_as: str = ""

    @property
    def target(self) -> str:
        return self.stored_as or self.name


@dataclass(frozen=True)
class Layout:
    """One file of the folder. `keys`: columns that together may occur once."""

    name: str
    table: str
    columns: tuple[Column, ...]

    @property
    def file(self) -> str:
        return f"{self.name}.csv"

    @property
    def names(self) -> list[str]:
        """Of every column, required or not."""
        return [c.name for c in self.columns]

    @property
    def required(self) -> list[str]:
        return [c.name for c in self.columns if c.required]


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


USERS = Layout(
    "users",
    "users",
    (
        Column("user_id", Cell.ID, True, "id"),
        Column("role", Cell.TEXT, True),
        Column("created_at", Cell.PAST),
        Column("updated_at", Cell.PAST),
        *_texts("name", "headline", "skills", "interests", "location"),
        Column("opted_out_at", Cell.INSTANT),
    ),
)

STARTUPS = Layout(
    "startups",
    "startups",
    (
        Column("startup_id", Cell.ID, True, "id"),
        *_texts("name", "description", "category", "field", "type", "tags", "stage", "location"),
        Column("founder_id", Cell.ID),
        Column("created_at", Cell.PAST),
        Column("updated_at", Cell.PAST),
        Column("withdrawn_at", Cell.INSTANT),
        Column("views", Cell.COUNT),
    ),
)

INTERACTIONS = Layout(
    "interactions",
    "user_interactions",
    (
        Column("user_id", Cell.ID, True),
        Column("startup_id", Cell.ID, True),
        Column("interaction_type", Cell.KIND, True),
        Column("occurred_at", Cell.EVENT, True, "created_at"),
    ),
)

LAYOUTS = (USERS, STARTUPS, INTERACTIONS)


def file_of(folder: Path, layout: Layout) -> Path:
    """`<name>.csv` or `<name>.csv.gz`. Raises DataError where there is none, or both."""
    found = [p for p in (folder / layout.file, folder / f"{layout.file}.gz") if p.is_file()]
    if not found:
        raise DataError(
            f"expected {layout.file} or {layout.file}.gz in {folder}, found neither; "
            "docs/platform-data.md describes a data folder"
        )
    if len(found) == 2:
        raise DataError(f"{folder} holds both {layout.file} and {layout.file}.gz; keep the one that is meant")
    return found[0]


def folder_digest(folder: Path) -> str:
    """Sixteen hex digits over what the three files say, compressed or not. Raises DataError for a missing one."""
    whole = hashlib.sha256()
    for layout in LAYOUTS:
        with opened(file_of(folder, layout)) as (stream, _):
            one = hashlib.sha256()
            while piece := stream.read(1 << 20):
                one.update(piece)
            whole.update(one.digest())
    return whole.hexdigest()[:16]
