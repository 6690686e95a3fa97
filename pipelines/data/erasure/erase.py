"""A person taken out of everything that Matchbook keeps, in an order that may be cut off anywhere and begun again.

1. the tombstone and our rows in PostgreSQL: from here on no export and no reader knows the person
2. successors of every snapshot, bundle and release that does, written beside them; the same person gives the same bytes
3. Redis: successors take the places of loaded releases, every small key forgets the person
4. what was replaced is deleted, releases before what they are made of; staging that names the person; lines of logs
5. a search through every file and every key, and the receipt
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.errors import DataError
from models.nouns.catalogue import CATALOGUE
from models.nouns.id_map import IdMap
from models.nouns.release import Keys
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.data.erasure.bundles import rewrite_bundles
from pipelines.data.erasure.loaded import all_releases, forget_fields, forget_keys, replace_loaded
from pipelines.data.erasure.person import Person, returned
from pipelines.data.erasure.receipt import Receipt
from pipelines.data.erasure.releases import rewrite_releases
from pipelines.data.erasure.rows import erase_rows, erased_of, person_of, stands_on_platform
from pipelines.data.erasure.search import files_with, keys_with
from pipelines.data.erasure.snapshots import rewrite_snapshots
from pipelines.data.snapshot import Snapshot
from pipelines.postgres import engine, transaction
from pipelines.release.cache import connect, wrapped
from pipelines.release.lease import Lease, lease
from pipelines.release.publish import drop_unfinished
from pipelines.runs.mirror import EVERY, pull

log = logging.getLogger(__name__)
#: Readers follow the pointer within a second; after this nobody asks for a replaced release any more.
FOLLOW_S = 5.0
_RELEASES = "releases/"


def erase(settings: Settings, given: str) -> dict[str, Any]:
    """Erase a person (or a startup) by id; returns the receipt. Again changes nothing; after a kill it goes on.

    Raises DataError where it is no id, or where something still holds it at the end; ServiceError; ReleaseTooBig where
    Redis has no room for the live release's successor.
    """
    pull(settings, EVERY)
    person = person_of(settings, given)
    receipt = Receipt(settings, person)
    receipt.removed(erase_rows(settings, person))
    with wrapped("erasing a person"), lease(connect(settings), Keys(settings.namespace)) as held:
        replaced = _rewrite_files(settings, person, receipt)
        _rewrite_redis(settings, held, person, receipt, replaced)
    receipt.removed({"artefacts": _delete(settings, receipt.successors), **_delete_names(settings, person)})
    receipt.close(left(settings, person), stands_on_platform(settings, person))
    if receipt.content["left"]:
        places = "; ".join(receipt.content["left"])
        raise DataError(f"<{person.mark}> still stands in: {places}. Run it again once no build is under way")
    log.info("erased mark=%s receipt=%s", person.mark, receipt.path)
    return receipt.content


def erase_returned(settings: Settings) -> int:
    """Erase again whoever was brought back by a build that was under way; returns how many."""
    with transaction(engine(settings)) as connection:
        erased = erased_of(connection)
    back = returned(erased, *_people(settings)) if erased.marks else set()
    for id in sorted(back):
        erase(settings, id)
    return len(back)


def _people(settings: Settings) -> Iterator[IdMap]:
    """Everybody in stored snapshots and catalogues."""
    artifacts = Artifacts(settings)
    for path in artifacts.stored(f"bundles/{CATALOGUE}"):
        yield from artifacts.open_bundle(CATALOGUE, path.name).maps.values()
    for path in artifacts.stored("snapshots"):
        snapshot = Snapshot.open(path)
        yield from (snapshot.user_ids, snapshot.startup_ids)


def left(settings: Settings, person: Person) -> list[str]:
    """Every file below the artefact store and every key in Redis that holds the id, the id itself made unreadable."""
    with wrapped("searching Redis for a person"):
        keys = [f"redis {key}: {where}" for key, where in keys_with(settings, connect(settings), person)]
    files = [str(p.relative_to(settings.artifacts)) for p in files_with(settings.artifacts, person)]
    return [person.hidden(place) for place in [*files, *keys]]


def _rewrite_files(settings: Settings, person: Person, receipt: Receipt) -> dict[str, str]:
    """Store every successor; returns release -> successor."""
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
    done = {"loaded releases": replace_loaded(settings, held, replaced),
            "own lists in loaded releases": forget_fields(held, person, set(replaced) & releases)}
    if done["loaded releases"]:
        time.sleep(FOLLOW_S)
    drop_unfinished(held)
    receipt.removed(done | forget_keys(held, person, releases))


def _delete(settings: Settings, successors: Mapping[str, str]) -> int:
    """Delete what was replaced: releases first, so that what is left of an erasure cut off here can still be read."""
    old = sorted(successors, key=lambda name: not name.startswith(_RELEASES))
    there = [name for name in old if (settings.artifacts / name).is_dir()]
    for kind, _, name in (path.rpartition("/") for path in there):
        Artifacts(settings).remove(kind, name)
    return len(there)


def _delete_names(settings: Settings, person: Person) -> dict[str, int]:
    """Staging of builds, reports of imports and logs, as far as they name the person."""
    runs = settings.artifacts / "runs"
    named = {p.relative_to(runs).parts[0] for p in files_with(runs, person)}
    for name in named:
        Artifacts(settings).remove("runs", name)
    reports = files_with(settings.home / "rejected", person)
    logs = [p for folder in ("logs", "airflow/logs") for p in files_with(settings.home / folder, person)]
    return {
        "staging of builds": len(named),
        "lines of import reports": sum(_drop_lines(path, person) for path in reports),
        "places in logs": sum(_overwrite(path, person) for path in logs),
    }


def _drop_lines(path: Path, person: Person) -> int:
    """Rewrite a CSV without the rows that name the person."""
    with path.open(newline="") as f:
        rows = list(csv.reader(f))
    kept = [row for row in rows if not person.within(" ".join(row).encode())]
    with path.open("w", newline="") as f:
        csv.writer(f).writerows(kept)
    return len(rows) - len(kept)


def _overwrite(path: Path, person: Person) -> int:
    """Blank the id in a log that somebody may be writing to: in place, length for length."""
    content, places = path.read_bytes(), 0
    with path.open("r+b") as f:
        for form in person.forms[1:]:
            place = content.find(form)
            while place >= 0:
                f.seek(place)
                f.write(b"-" * len(form))
                places, place = places + 1, content.find(form, place + len(form))
    return places
