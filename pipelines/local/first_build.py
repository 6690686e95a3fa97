"""The first lists through Airflow, and then its schedules: for `make up` and for whoever runs Airflow otherwise."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from models.errors import ServiceError
from models.settings import Settings
from pipelines.local import builds, marketplace
from pipelines.local.airflow_api import AirflowApi
from pipelines.local.airflow_process import address, admin_password
from pipelines.release.cache import current_release
from pipelines.release.history import release_of
from pipelines.runs.run import parse_instant

_SERVER, _PASSWORDS = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"


def begin_serving(settings: Settings, api: AirflowApi, say: Callable[[str], None], alive: Callable[[], None]) -> bool:
    """Build unless lists are live, then let every DAG run by its schedule; False where the build failed.

    The build is queued before anything is unpaused: the run that a schedule makes at once would come first otherwise.
    """
    if not _lists(settings, api, say, alive):
        return False
    for dag in api.dags():
        api.unpause(dag)
    return True


def airflow_here(settings: Settings) -> AirflowApi:
    """The Airflow that the environment names, as in containers, else that of `make up`. Raises ServiceError."""
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
    """Make sure that lists are live: keep those that are, else build."""
    live, newest = current_release(settings), marketplace.newest(settings)
    if live is None:
        return builds.follow(api, builds.begin(api, marketplace.cutoff(newest), say), say, alive)
    as_of = parse_instant(release_of(settings, live).as_of)
    say(f"Lists as of {as_of.isoformat()} are live (release {live}); they are not built again")
    if newest is not None and newest >= as_of:
        say(
            f"The data go on until {newest.isoformat()}: to build again, trigger {builds.DAG} in Airflow, or run "
            "`python -m pipelines build`"
        )
    return True
