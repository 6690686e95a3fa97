"""Import a data folder in one transaction: check everything and report every rejected row.

docs/guides/your-data.md describes the layout and the handling of broken rows.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection, Engine, text

from models.errors import DataError
from models.schema import INTERACTIONS, TABLES
from models.settings.settings import Settings
from pipelines import postgres
from pipelines.ingest.rows import file_of, folder_digest, header_of, opened, plain
from pipelines.ingest.transfer import REPORT_COLUMNS, Transfer

log = logging.getLogger(__name__)
_CURE = "`make reset` removes what is loaded, MATCHBOOK_HOME=<another folder> keeps both"


@dataclass(frozen=True)
class Loaded:
    """The data folder in a database.

    digest: of the three files. counts: file -> rows kept. rejected: "file: reason" -> rejected rows.
    report: path of the CSV of rejected rows, or "".
    """

    digest: str
    folder: str
    counts: dict[str, int]
    rejected: dict[str, int] = field(default_factory=dict)
    report: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in self.counts.items())


def loaded_folder(engine: Engine) -> Loaded | None:
    """Return the imported data folder of this migrated database, or None."""
    with postgres.transaction(engine) as connection:
        return _noted(connection)


def import_folder(settings: Settings, folder: Path) -> Loaded:
    """Import users, startups and interactions, unless the same data are loaded already.

    Broken rows go to matchbook_rejected_rows and to a CSV in `home/rejected`, with file, line and reason.
    Raises DataError, and writes nothing, if a file is missing or empty, a column is missing, the database holds
    anything else, or more than `rejected_share` of all rows are broken.
    """
    folder = folder.expanduser().resolve()
    _check_headers(folder)
    engine = postgres.engine(settings)
    postgres.migrate(engine)
    digest = folder_digest(folder)
    report = settings.home / "rejected" / f"{folder.name}-{digest[:8]}.csv"
    with postgres.transaction(engine) as connection:
        connection.execute(text("LOCK TABLE matchbook_loads IN EXCLUSIVE MODE"))  # one import at a time
        before = _noted(connection)
        if before is not None and before.digest == digest:
            log.info("%s is loaded already: %s", before.folder, before)
            return before
        _check_room(connection, folder, before)
        loaded = _transfer(settings, connection, folder, digest, report)
    with postgres.transaction(engine) as connection:
        connection.execute(text(f"ANALYZE {', '.join(table.stored for table in TABLES)}"))
    return loaded


def _noted(connection: Connection) -> Loaded | None:
    note = connection.scalar(text("SELECT note FROM matchbook_loads"))
    return None if note is None else Loaded(**note)


def _check_headers(folder: Path) -> None:
    """Raise DataError for the first missing or empty file, then for all missing columns at once."""
    missing, found = list[str](), list[str]()
    for table in TABLES:
        path = file_of(folder, table)
        with opened(path) as (stream, _):
            text_ = plain(stream, path)
            header = header_of(text_, path, table.names).names
            if table is not INTERACTIONS and not any(line.strip() for line in text_):
                raise DataError(f"{path} has a header and no row below it; expected at least one row")
        lacking = [f"{path.name} lacks the column {name}" for name in table.required if name not in header]
        missing += lacking
        found += [f"{path.name} has {', '.join(header)[:200]}"] * bool(lacking)
    if missing:
        raise DataError(
            f"{folder}: {', '.join(missing)} ({'; '.join(found)}); the first line of a file names its "
            "columns, see docs/guides/your-data.md"
        )


def _check_room(connection: Connection, folder: Path, before: Loaded | None) -> None:
    """Raise DataError unless Matchbook created the platform's tables and they are empty."""
    if before is not None:
        raise DataError(f"the database holds {before.folder} ({before}), which is not {folder}; {_CURE}")
    if not connection.scalar(text("SELECT count(*) FROM matchbook_migrations WHERE name LIKE 'platform/%'")):
        raise DataError(
            "this database has tables of another platform, which Matchbook never changes; import into another "
            "database (DATABASE_URL), or leave DATABASE_URL empty for the embedded one"
        )
    full = [
        table.stored for table in TABLES if connection.scalar(text(f"SELECT EXISTS (SELECT 1 FROM {table.stored})"))
    ]
    if full:
        raise DataError(
            f"expected empty tables, but {', '.join(full)} hold rows that were not imported from a data folder; {_CURE}"
        )


def _transfer(settings: Settings, connection: Connection, folder: Path, digest: str, report: Path) -> Loaded:
    report.parent.mkdir(parents=True, exist_ok=True)
    started = connection.scalar(text("SELECT CURRENT_TIMESTAMP"))
    with report.open("w+b") as aside:
        transfer = Transfer(connection, folder, started, aside)
        counts = transfer.run()
        rejected = dict(transfer.rejected)
        if rejected:
            _check_share(settings, sum(counts.values()), rejected, report)
            _keep_rejects(connection, aside)
    if not rejected:
        report.unlink()
    loaded = Loaded(digest, str(folder), counts, rejected, str(report) if rejected else "")
    connection.execute(
        text(
            "INSERT INTO matchbook_loads (digest, note, loaded_at) "
            "VALUES (:digest, CAST(:note AS jsonb), CURRENT_TIMESTAMP)"
        ),
        {"digest": digest, "note": json.dumps(asdict(loaded))},
    )
    return loaded


def _check_share(settings: Settings, kept: int, rejected: dict[str, int], report: Path) -> None:
    """Raise DataError if too many rows are rejected."""
    broken = sum(rejected.values())
    if broken > settings.export.rejected_share * (kept + broken):
        reasons = ", ".join(f"{reason} ({n})" for reason, n in sorted(rejected.items(), key=lambda r: (-r[1], r[0])))
        raise DataError(
            f"{broken} of {kept + broken} rows are broken, more than the share {settings.export.rejected_share:g} "
            f"that may be rejected; nothing was imported. {reasons}. All are in {report}; fix "
            "them, or set [export] rejected_share = 1.0 to import the rest"
        )


def _keep_rejects(connection: Connection, aside: BinaryIO) -> None:
    aside.seek(0)
    aside.readline()
    postgres.copy_rows(connection, "matchbook_rejected_rows", REPORT_COLUMNS, aside)
