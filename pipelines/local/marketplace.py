"""The data that `make up` serves: a folder of the user's, what is there already, or the sample marketplace."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from models.errors import DataError
from models.settings import Settings
from pipelines.data.contract import check_contract
from pipelines.data.load import import_folder, loaded_folder
from pipelines.data.sample import write_sample
from pipelines.postgres import engine, migrate, newest_event, rows
from pipelines.runs.cutoff import just_after

SAMPLE_USERS, SAMPLE_STARTUPS = 2_000, 500
SHOWN = 3


def prepare(settings: Settings, folder: Path | None) -> str:
    """Migrate, load what is to be loaded, check the contract views; returns what to tell.

    Raises DataError for a folder that differs from what is loaded, ContractError for a broken contract.
    """
    database = engine(settings)
    migrate(database)
    check_contract(database)
    if folder is not None:
        return _load(settings, folder)
    if _holds_rows(database):
        held = loaded_folder(database)
        return f"Data: kept as they are{f', from {held.folder}' if held else ''}"
    sample = settings.home / "sample"
    write_sample(sample, users=SAMPLE_USERS, startups=SAMPLE_STARTUPS, seed=settings.train.seed)
    return f"{_load(settings, sample)} (the sample marketplace; `make up DATA=<folder>` loads yours)"


def newest(settings: Settings) -> datetime | None:
    """When the newest event happened."""
    return newest_event(settings)


def cutoff(newest: datetime | None) -> datetime | None:
    """The cutoff of a first build: everything that is known, however old; None without any event."""
    return None if newest is None else just_after(newest)


def examples(settings: Settings) -> list[tuple[str, str]]:
    """Up to three (surface, owner id) pairs of different surfaces, those with something in their lists first."""
    found = rows(engine(settings), "example_owners")
    return [(row.surface, str(row.owner)) for row in found[:SHOWN]]


def _load(settings: Settings, folder: Path) -> str:
    if not folder.is_dir():
        raise DataError(
            f"expected DATA to name a folder with users.csv, startups.csv and interactions.csv, got {folder}"
        )
    loaded = import_folder(settings, folder)
    counted = ", ".join(f"{count:,} {name}" for name, count in loaded.counts.items())
    aside = sum(loaded.rejected.values())
    told = f"Data: {counted} from {loaded.folder}"
    if aside:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in sorted(loaded.rejected.items()))
        told += f"\n      {aside:,} rows were set aside ({reasons}); see {settings.home / 'rejected'}"
    return told


def _holds_rows(database: Engine) -> bool:
    return bool(rows(database, "any_entity")[0].any)
