"""What is left of an erasure: a file that says what was removed, where, and what replaced what; never whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.data.erasure.person import Person

#: Below MATCHBOOK_HOME.
FOLDER = "erasure"
#: What is not ours to change, told with every receipt.
ELSEWHERE = (
    "the platform's own tables: while they name the person, Matchbook knows them no more, but others may",
    "data folders outside MATCHBOOK_HOME that were imported (DATA=), bundles that ALS_MODEL_PATH or its like name",
    "an Airflow whose metadata and logs MATCHBOOK_AIRFLOW_DATABASE_URL and MATCHBOOK_AIRFLOW_LOGS do not name",
    "backups, PostgreSQL's write-ahead log and dead rows, Redis's append-only file until it is next rewritten",
    "logs elsewhere: of a proxy, of containers, of tasks on other machines",
)


class Receipt:
    """One person's receipt; an erasure that was cut off goes on with it."""

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
        """What was replaced by what: "bundles/als_v1/<version>" -> the same with its successor."""
        return dict(self.content["successors"])

    def removed(self, counts: Mapping[str, int]) -> None:
        """Add to what was removed, and save."""
        there = self.content["removed"]
        self.content["removed"] = there | {k: there.get(k, 0) + n for k, n in counts.items() if n}
        self.save()

    def replaced(self, successors: Mapping[str, str]) -> None:
        """Note successors, before what they replace is deleted, and save."""
        self.content["successors"] = self.successors | dict(successors)
        self.save()

    def close(self, left: list[str], platform_names_them: bool) -> None:
        """The end of an erasure; where it was done before and nothing more was found, the instant stays."""
        self.content |= {"left": left, "platform_names_them": platform_names_them}
        self.content["done_at"] = None if left else self.content["done_at"] or _now()
        self.save()

    def save(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._artifacts.write_json(self.path, self.content)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 when it happened; no list depends on it
