"""Build the first lists through Airflow, then start its schedules. Used by `make up` and other installations."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from local import airflow_api as builds
from local.airflow import address, admin_password
from local.airflow_client import AirflowApi
from models.errors import DataError, ServiceError
from models.settings.settings import Settings
from pipelines.cli import first_build as marketplace
from pipelines.export.checks import check_contract
from pipelines.ingest.ingest import import_folder, loaded_folder
from pipelines.postgres import engine, migrate, newest_event, rows
from pipelines.publish.history import release_of
from pipelines.redis_client import current_release
from pipelines.run.run import just_after, parse_instant
from pipelines.sample.sample import write_sample
from pipelines.store.artifacts import copy_artifacts

SAMPLE_USERS, SAMPLE_STARTUPS = 2_000, 500
SHOWN = 3


def prepare(settings: Settings, folder: Path | None) -> str:
    """Migrate, check the contract views, and import data if needed; return a line for the user.

    Raises DataError if the folder differs from the loaded data, ContractError if a view breaks its contract.
    """
    database = engine(settings)
    migrate(database)
    check_contract(database)
    if folder is not None:
        return _load(settings, folder)
    if _holds_rows(database):
        held = loaded_folder(database)
        return f"Data: unchanged{f', from {held.folder}' if held else ''}"
    sample = settings.home / "sample"
    write_sample(sample, users=SAMPLE_USERS, startups=SAMPLE_STARTUPS, seed=settings.train.seed)
    return f"{_load(settings, sample)} (the sample marketplace; `make up DATA=<folder>` loads yours)"


def newest(settings: Settings) -> datetime | None:
    return newest_event(settings)


def cutoff(newest: datetime | None) -> datetime | None:
    """Return the cutoff of a first build: just after the newest event, or None without events."""
    return None if newest is None else just_after(newest)


def examples(settings: Settings) -> list[tuple[str, str]]:
    """Return up to three (surface, owner id) pairs of different surfaces, owners with non-empty lists first."""
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
    line = f"Data: {counted} from {loaded.folder}"
    if aside:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in sorted(loaded.rejected.items()))
        line += f"\n      {aside:,} rows were rejected ({reasons}); see {settings.home / 'rejected'}"
    return line


def _holds_rows(database: Engine) -> bool:
    return bool(rows(database, "any_entity")[0].any)


_SERVER, _PASSWORDS = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"


def begin_serving(settings: Settings, api: AirflowApi, say: Callable[[str], None], alive: Callable[[], None]) -> bool:
    """Build unless lists are live, then unpause every DAG; return False if the build failed.

    The build is queued first. Otherwise the first scheduled run would start before it.
    """
    if not _lists(settings, api, say, alive):
        return False
    for dag in api.paused():
        api.unpause(dag)
    return True


def airflow_here(settings: Settings) -> AirflowApi:
    """Return the Airflow that the environment names (containers), else that of `make up`. Raises ServiceError."""
    server, passwords = os.environ.get(_SERVER, ""), os.environ.get(_PASSWORDS, "")
    if not server or not passwords:
        return AirflowApi(address(settings), admin_password(settings))
    try:
        password = json.loads(Path(passwords).read_text())["admin"]
    except (OSError, ValueError, KeyError) as error:
        raise ServiceError(
            f"expected the password of Airflow's user admin in {passwords}: {error!r}; "
            "run this where Airflow's scheduler runs"
        ) from error
    return AirflowApi(
        server.rstrip("/").removesuffix("/execution"), str(password), os.environ.get("AIRFLOW__API__BASE_URL", "")
    )


def _lists(settings: Settings, api: AirflowApi, say: Callable[[str], None], alive: Callable[[], None]) -> bool:
    """Keep live lists; build if there are none."""
    live, newest = current_release(settings), marketplace.newest(settings)
    if live is None:
        return builds.follow(api, builds.begin(api, marketplace.cutoff(newest), say), say, alive)
    as_of = parse_instant(release_of(settings, live).as_of)
    say(f"Lists as of {as_of.isoformat()} are live (release {live}); they are not built again")
    if newest is not None and newest >= as_of:
        say(
            f"Newer data exist, until {newest.isoformat()}: to build again, trigger {builds.DAG} in Airflow, or run "
            "`python -m pipelines build`"
        )
    return True


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    schema = steps.add_parser("migrate", help="apply database migrations; a repetition changes nothing")
    schema.set_defaults(run=_migrate)
    first = steps.add_parser(
        "first-build",
        help="build the first lists with the running Airflow, unless some are live, then unpause every DAG",
    )
    first.set_defaults(run=_first_build)
    copy = steps.add_parser(
        "copy-artifacts",
        help="copy artefacts from another folder to MATCHBOOK_ARTIFACTS; a repetition changes nothing",
    )
    copy.add_argument("folder", type=Path, help="the old folder: `artifacts` in MATCHBOOK_HOME, or another directory")
    copy.set_defaults(run=_copy_artifacts, needs_servers=False)


def _migrate(settings: Settings, args: argparse.Namespace) -> None:
    for name in migrate(engine(settings)):
        print(name)


def _first_build(settings: Settings, args: argparse.Namespace) -> int:
    api = airflow_here(settings)
    builds.prepare_dags(api, _nothing_of_ours)
    return 0 if begin_serving(settings, api, _say, _nothing_of_ours) else 1


def _copy_artifacts(settings: Settings, args: argparse.Namespace) -> None:
    for path in copy_artifacts(settings, args.folder.expanduser().absolute()):
        print(path)


def _nothing_of_ours() -> None:
    """Do nothing: another program started and watches Airflow's processes."""


def _say(text: str) -> None:
    print(text, flush=True)
