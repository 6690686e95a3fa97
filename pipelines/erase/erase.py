"""Erase a person from everything that Matchbook stores. The steps may be interrupted and repeated.

1. Set the tombstone in PostgreSQL, delete our rows, and set the mark in Redis. From then on exports, drains and
readers ignore the person, and posted events about them are dropped.
2. Store successors of every snapshot, bundle and release that names the person. Equal input gives equal bytes.
3. In Redis, replace loaded releases by their successors and remove the person from every small key.
4. Delete the replaced artefacts (releases before their bundles), staging that names the person, and ids in logs.
5. Clean Airflow's metadata. This is late, so that a failed run of `erase_person` can be cleared until then.
6. Search every file, key and row; write the receipt.
"""

from __future__ import annotations

import csv
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.catalogue.catalogue import CATALOGUE
from models.data.entities import IdMap
from models.errors import DataError
from models.lists.redis_format import Keys
from models.settings.settings import Settings
from pipelines.airflow_records import metadata_with, scrub_metadata
from pipelines.erase.files import rewrite_bundles, rewrite_releases, rewrite_snapshots
from pipelines.erase.search import files_with, keys_with
from pipelines.erase.servers import (
    all_releases,
    erase_rows,
    forget_fields,
    forget_keys,
    person_of,
    replace_loaded,
    rows_with,
    stands_on_platform,
)
from pipelines.erased import Person, read_erased, reappeared
from pipelines.export.snapshot import Snapshot
from pipelines.postgres import engine, transaction
from pipelines.publish.filter_keys import follow_erased
from pipelines.publish.lease import Lease, lease
from pipelines.publish.publish import drop_unfinished
from pipelines.redis_client import connect, redis_errors
from pipelines.store.artifacts import Artifacts
from pipelines.store.mirror import EVERY, pull

#: Folder below MATCHBOOK_HOME.
FOLDER = "erasure"
#: Places that Matchbook cannot change; every receipt lists them.
ELSEWHERE = (
    "the platform's own tables: they may still name the person, although Matchbook ignores those rows",
    "imported data folders outside MATCHBOOK_HOME (DATA=), bundles named by ALS_MODEL_PATH and similar variables",
    "an Airflow whose metadata and logs MATCHBOOK_AIRFLOW_DATABASE_URL and MATCHBOOK_AIRFLOW_LOGS do not name",
    "files of lists outside [lists_export] target, and copies of those inside; export_lists replaces those inside",
    "backups, PostgreSQL's write-ahead log and dead rows, Redis's append-only file until it is next rewritten",
    "logs elsewhere: of a proxy, of containers, of tasks on other machines",
)


class Receipt:
    """The receipt of one person; a repeated erasure continues it."""

    def __init__(self, settings: Settings, person: Person) -> None:
        self._artifacts, self.path = Artifacts(settings), settings.home / FOLDER / f"{person.mark}.json"
        fresh: dict[str, Any] = {
            "mark": person.mark,
            "begun_at": _now(),
            "done_at": None,
            "removed": {},
            "successors": {},
            "left": [],
            "elsewhere": list(ELSEWHERE),
            "platform_names_them": None,
        }
        self.content: dict[str, Any] = json.loads(self.path.read_text()) if self.path.is_file() else fresh

    @property
    def successors(self) -> dict[str, str]:
        """Return the successors of replaced artefacts by name; a name looks like "bundles/als_v1/<version>"."""
        return dict(self.content["successors"])

    def removed(self, counts: Mapping[str, int]) -> None:
        """Add to the counts of removed things, and save."""
        there = self.content["removed"]
        self.content["removed"] = there | {k: there.get(k, 0) + n for k, n in counts.items() if n}
        self.save()

    def replaced(self, successors: Mapping[str, str]) -> None:
        """Record successors and save, before the originals are deleted."""
        self.content["successors"] = self.successors | dict(successors)
        self.save()

    def close(self, left: list[str], platform_names_them: bool) -> None:
        """End the erasure. Keep the first `done_at` if this run found nothing more."""
        self.content |= {"left": left, "platform_names_them": platform_names_them}
        self.content["done_at"] = None if left else self.content["done_at"] or _now()
        self.save()

    def save(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._artifacts.write_json(self.path, self.content)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 when it happened; no list depends on it


log = logging.getLogger(__name__)
#: Readers follow the pointer within a second. After this delay none reads a replaced release.
FOLLOW_S = 5.0
_RELEASES = "releases/"
#: Folders of the artefact store; each entry is replaced as a whole.
_STORED = ("snapshots", "bundles", "holdouts", "cuts", "releases", "runs")
#: Files of the embedded servers below MATCHBOOK_HOME. Their logs are searched.
_SERVERS = ("postgres", "redis", "binaries", "valkey-server", "airflow")
#: Suffixes of files in which text may be blanked in place.
_TEXTS = (".log", ".csv", ".json", ".jsonl", ".txt", ".html", "", ".md", ".out", ".1")


def erase(settings: Settings, given: str) -> dict[str, Any]:
    """Erase a person or startup by id and return the receipt. May be repeated; continues after a kill.

    Raises DataError if the id is invalid or is still stored at the end, ServiceError, and ReleaseTooBig if Redis has no
    room for the successor of the live release.
    """
    pull(settings, EVERY)
    person = person_of(settings, given)
    receipt = Receipt(settings, person)
    receipt.removed(erase_rows(settings, person))
    with redis_errors("erasing a person"), lease(connect(settings), Keys(settings.namespace)) as held:
        follow_erased(engine(settings), held.client, held.keys)
        replaced = _rewrite_files(settings, person, receipt)
        _rewrite_redis(settings, held, person, receipt, replaced)
    receipt.removed({"artefacts": _delete(settings, receipt.successors), **_delete_names(settings, person)})
    found = traces_left(settings, person)
    if not found:
        receipt.removed({"cells of Airflow's metadata": scrub_metadata(settings, person)})
        found = looked_for(settings, person)
    receipt.close(found, stands_on_platform(settings, person))
    if receipt.content["left"]:
        places = "; ".join(receipt.content["left"])
        raise DataError(f"<{person.mark}> is still in: {places}. Run the erasure again when no build is running")
    log.info("erased mark=%s receipt=%s", person.mark, receipt.path)
    return receipt.content


def erase_returned(settings: Settings) -> int:
    """Erase again the people that a running build brought back; return their number."""
    with transaction(engine(settings)) as connection:
        erased = read_erased(connection)
    back = reappeared(erased, *_people(settings)) if erased.marks else set()
    for id in sorted(back):
        erase(settings, id)
    return len(back)


def _people(settings: Settings) -> Iterator[IdMap]:
    """Yield the id maps of stored snapshots and catalogues."""
    artifacts = Artifacts(settings)
    for path in artifacts.stored(f"bundles/{CATALOGUE}"):
        yield from artifacts.open_bundle(CATALOGUE, path.name).maps.values()
    for path in artifacts.stored("snapshots"):
        snapshot = Snapshot.open(path)
        yield from (snapshot.user_ids, snapshot.startup_ids)


def traces_left(settings: Settings, person: Person) -> list[str]:
    """Return every file, Redis key and own table that holds the id; the id itself is masked."""
    with redis_errors("searching Redis for a person"):
        keys = [f"redis {key}: {where}" for key, where in keys_with(settings, connect(settings), person)]
    files = [str(p) for p in files_with(settings.artifacts, person)]
    files += [str(p) for place in _own_places(settings) for p in files_with(place, person)]
    tables = [f"table {name}" for name in rows_with(settings, person)]
    return [person.hidden(place) for place in [*files, *keys, *tables]]


def looked_for(settings: Settings, person: Person) -> list[str]:
    """Return `traces_left` and every column of Airflow's metadata that holds the id."""
    return traces_left(settings, person) + [f"airflow {place}" for place in metadata_with(settings, person)]


def _own_places(settings: Settings) -> list[Path]:
    """Return all that Matchbook writes outside the artefact store, except the servers' own files."""
    kept = {settings.artifacts, *(settings.home / name for name in _SERVERS)}
    there = [p for p in settings.home.iterdir() if p not in kept] if settings.home.is_dir() else []
    return [*there, settings.airflow_log_folder]  # only the logs: Airflow's database may be beside them


def _rewrite_files(settings: Settings, person: Person, receipt: Receipt) -> dict[str, str]:
    """Store every successor; return the successor of each replaced release."""
    artifacts = Artifacts(settings)
    receipt.replaced(rewrite_snapshots(artifacts, person))
    receipt.replaced(rewrite_bundles(artifacts, person))
    found = rewrite_releases(artifacts, person, receipt.successors)
    receipt.replaced({f"{_RELEASES}{old}": f"{_RELEASES}{new}" for old, new in found.items()})
    return found


def _rewrite_redis(
    settings: Settings, held: Lease, person: Person, receipt: Receipt, replaced: Mapping[str, str]
) -> None:
    releases = all_releases(settings, held)
    done = {
        "loaded releases": replace_loaded(settings, held, replaced),
        "own lists in loaded releases": forget_fields(held, person, set(replaced) & releases),
    }
    if done["loaded releases"]:
        time.sleep(FOLLOW_S)
    drop_unfinished(held)
    receipt.removed(done | forget_keys(held, person))


def _delete(settings: Settings, successors: Mapping[str, str]) -> int:
    """Delete replaced artefacts. Releases go first: after an interruption, all that remain are readable."""
    old = sorted(successors, key=lambda name: not name.startswith(_RELEASES))
    there = [name for name in old if (settings.artifacts / name).is_dir()]
    for kind, _, name in (path.rpartition("/") for path in there):
        Artifacts(settings).remove(kind, name)
    return len(there)


def _delete_names(settings: Settings, person: Person) -> dict[str, int]:
    """Remove the person from build staging, CSV tables, records and logs; return counts."""
    runs = settings.artifacts / "runs"
    named = {p.relative_to(runs).parts[0] for p in files_with(runs, person)}
    for name in named:
        Artifacts(settings).remove("runs", name)
    files = [p for place in _own_places(settings) for p in files_with(place, person)]
    files += [p for p in files_with(settings.artifacts, person) if p.suffix in _TEXTS and not _is_stored(settings, p)]
    tables = [p for p in files if p.suffix == ".csv" and "logs" not in p.parts]
    return {
        "kept past cutoffs": len(Artifacts(settings).remove_cuts()),  # samples hold no ids, so all are removed
        "staging of builds": len(named),
        "lines of tables": sum(_drop_lines(path, person) for path in tables),
        "places in logs": sum(_overwrite(path, person) for path in files if path not in tables),
    }


def _is_stored(settings: Settings, path: Path) -> bool:
    """Return whether a file belongs to an artefact that gets a successor."""
    return path.relative_to(settings.artifacts).parts[0] in _STORED


def _drop_lines(path: Path, person: Person) -> int:
    """Rewrite a CSV without the rows that name the person; delete the file if its name does."""
    if person.within(path.name.encode()):
        path.unlink()
        return 1
    with path.open(newline="") as f:
        rows = list(csv.reader(f))
    kept = [row for row in rows if not person.within(" ".join(row).encode())]
    with path.open("w", newline="") as f:
        csv.writer(f).writerows(kept)
    return len(rows) - len(kept)


def _overwrite(path: Path, person: Person) -> int:
    """Blank the id in a log in place at equal length, because a process may be writing to it.

    Delete the file if it is not text or its path names the person.
    """
    if not path.exists() or path.is_dir():
        shutil.rmtree(path, ignore_errors=True)  # this deletes the content too
        return 1
    content = path.read_bytes()
    if person.within(str(path).encode()) or path.suffix not in _TEXTS:
        path.unlink()
        return 1
    places = list(person.places(content))
    with path.open("r+b") as f:
        for start, end in places:
            f.seek(start)
            f.write(b"-" * (end - start))
    return len(places)
