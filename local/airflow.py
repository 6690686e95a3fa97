"""Airflow on this machine: its environment, its metadata database, its processes.

`airflow standalone` is not used: it opens log servers on every address, and its children outlive it. Here the
components start one by one on 127.0.0.1 without log servers, and the UI reads logs from the disk.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import psycopg2
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from local.processes import ManagedProcess, start, tail
from local.servers import running_settings
from models.errors import ServiceError, SettingsError
from models.settings.environment import Secret
from models.settings.settings import Settings

log = logging.getLogger(__name__)
CHECKOUT = Path(__file__).resolve().parents[1]
#: Users of Airflow: a person in the UI, and the reader's console.
ADMIN, CONSOLE = "admin", "console"
PROCESSOR, TRIGGERER = "airflow-dag-processor", "airflow-triggerer"
COMPONENTS = {
    "airflow-api-server": ("api-server",),
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
    PROCESSOR: ("dag-processor",),
    TRIGGERER: ("triggerer", "--skip-serve-logs"),
}
WORKER = {"airflow-worker": ("celery", "worker", "--skip-serve-logs", "--concurrency", "2")}
#: Variables that a worker on another machine needs with the same values.
SHARED = (
    "DATABASE_URL",
    "REDIS_URL",
    "MATCHBOOK_NAMESPACE",
    "MATCHBOOK_ARTIFACTS",
    "MATCHBOOK_EXECUTOR",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
)
#: How often Airflow's processes look for work. Its defaults keep an idle machine busy; see also local/executor.py.
LOOPS = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "10",  # unhealthy after 30 s
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "60",
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "600",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",  # a new or changed file is read within half a minute
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "1800",  # an unchanged file is read again
    "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "3600",
}
#: libpq parameters that asyncpg has under the same name.
_ASYNCPG = ("host", "port", "user", "password", "passfile")
OUR_COMMENT = "Matchbook: Airflow's metadata"
NO_LOG_SERVER = "1"  # a port without a listener, because logs are on the disk


def address(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.airflow_port}"


def start_airflow(settings: Settings, without: Container[str] = ()) -> dict[str, ManagedProcess]:
    """Migrate the metadata and start the components. `settings` hold both servers' addresses. Raises ServiceError.

    without: names of components to leave out, because they run or start later.
    """
    env = airflow_environment(settings)
    _migrate(settings, env)
    wanted = COMPONENTS | (WORKER if settings.executor == "celery" else {})
    return {n: start_component(settings, n, words, env) for n, words in wanted.items() if n not in without}


def starts_later(settings: Settings) -> tuple[str, ...]:
    """Return the components that may start after the others answer.

    No task waits for a trigger yet. On a restart the metadata has the DAGs already.
    """
    return (TRIGGERER, PROCESSOR) if _migrated(settings).is_file() else (TRIGGERER,)


def start_component(settings: Settings, name: str, words: Sequence[str], env: Mapping[str, str]) -> ManagedProcess:
    """Start one process of Airflow in its own group."""
    return start([_program("airflow"), *words], settings.home / "logs" / f"{name}.log", env, CHECKOUT, group=True)


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Return the whole environment of Airflow's processes and their tasks.

    AIRFLOW__ variables of our environment win, because a worker on another machine needs its scheduler's address.
    """
    given = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}
    return child_environment(settings) | _own_environment(settings, given) | given


def shared_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a worker on another machine, with secrets."""
    mine = airflow_environment(settings)
    return {name: mine[name] for name in SHARED if mine.get(name)}


def _asynchronous(metadata: str) -> dict[str, str]:
    """Return the metadata address for asyncpg if the usual one has options of libpq only.

    Otherwise Airflow derives it.
    """
    url = make_url(metadata)
    if url.get_backend_name() != "postgresql" or not url.query:
        return {}
    said = {name: str(value) for name, value in url.query.items() if name in _ASYNCPG}
    said |= {"ssl": str(url.query["sslmode"])} if "sslmode" in url.query else {}
    there = url.set(drivername="postgresql+asyncpg", query=said)
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": there.render_as_string(hide_password=False)}


def _own_environment(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    home, kept = settings.home / "airflow", _kept_secrets(settings)
    metadata = given.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") or _metadata_url(settings)
    return (
        _workers_environment(settings, metadata)
        | _asynchronous(metadata)
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "dags" / "matchbook_plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",  # number of workers, forked even if idle
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__FERNET_KEY": kept["fernet_key"],
            "AIRFLOW__CORE__AUTH_MANAGER": (
                "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{CONSOLE}:user",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords(settings)),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(settings.airflow_port),
            "AIRFLOW__API__BASE_URL": address(settings),  # otherwise every task uses port 8080
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": kept["secret_key"],
            "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt_secret"],
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata,
            "MATCHBOOK_AIRFLOW_DATABASE_URL": metadata,  # Airflow removes the variable above from its tasks
            **LOOPS,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": NO_LOG_SERVER,
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": NO_LOG_SERVER,
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
    )


def _workers_environment(settings: Settings, metadata: str) -> dict[str, str]:
    """Return what runs the tasks: forks of the scheduler, or Celery workers with our Redis as broker."""
    if settings.executor == "local":
        return {"AIRFLOW__CORE__EXECUTOR": "local.executor.RestingExecutor"}
    if metadata.startswith("sqlite"):
        raise SettingsError(
            "MATCHBOOK_EXECUTOR=celery needs Airflow's metadata in PostgreSQL, and DATABASE_URL's user "
            "may not create a database for it; set AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
        )
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": settings.redis_address,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{metadata}",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX": f"{settings.namespace}-tasks:",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "21600",  # longer than any task may run
    }


def child_environment(settings: Settings) -> dict[str, str]:
    """Return our environment plus the home, the servers' addresses and this virtual environment's programs."""
    local = "127.0.0.1,localhost"
    without_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy", ""), local]))
    return dict(os.environ) | {
        "MATCHBOOK_HOME": str(settings.home),
        "MATCHBOOK_CONFIG": settings.config,
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
        "PATH": os.pathsep.join([str(_program("airflow").parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": without_proxy,
        "no_proxy": without_proxy,
    }


def with_metadata(settings: Settings) -> Settings:
    """Return the settings with the address of Airflow's metadata, if set or created by `make up`."""
    if settings.airflow_database_url:
        return settings
    url = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "")
    if not url and (settings.home / "airflow" / "secrets.json").is_file():
        url = _known_metadata_url(settings)
    return replace(settings, airflow_database_url=Secret(url))


def admin_password(settings: Settings) -> str:
    """Return the password of the UI's user `admin`."""
    return _password(settings, ADMIN)


def console_password(settings: Settings) -> str:
    """Return the password of the reader's console, whose user may trigger DAGs and answer, but configure nothing."""
    return _password(settings, CONSOLE)


def _password(settings: Settings, user: str) -> str:
    """Return the password of a user, created once and stored in a private file of the home."""
    path = _passwords(settings)
    known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    if missing := {ADMIN, CONSOLE} - set(known):
        known |= {name: secrets.token_urlsafe(12) for name in missing}
        _write_private(path, known)
    return known[user]


def drop_metadata(settings: Settings) -> bool:
    """Remove our metadata database from the user's own server; return False if there is none."""
    url = settings.database_url.reveal()
    if not url:
        return False
    name = _own_database(settings)
    connection = psycopg2.connect(_libpq(url))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            if _comment(cursor, name) != OUR_COMMENT:
                return False
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            return True
    finally:
        connection.close()


def _migrate(settings: Settings, env: Mapping[str, str]) -> None:
    """Run `airflow db migrate`, unless this version of Airflow did so for this database."""
    admin_password(settings)
    metadata, note = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], _migrated(settings)
    if note.is_file() and json.loads(note.read_text()) == _state(metadata):
        return
    log = settings.home / "logs" / "airflow-migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        done = subprocess.run(
            [_program("airflow"), "db", "migrate"],
            env=dict(env),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    if done.returncode != 0:
        raise ServiceError(f"Airflow could not prepare its metadata database; the end of {log}:\n{tail(log)}")
    note.write_text(json.dumps(_state(metadata)))


def _migrated(settings: Settings) -> Path:
    return settings.home / "airflow" / "migrated.json"


def _state(metadata: str) -> dict[str, str]:
    """Return Airflow's version and the revision of this metadata database, "" if it has none."""
    revision = ""
    engine = create_engine(metadata)
    with suppress(SQLAlchemyError), engine.connect() as connection:
        revision = str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")
    engine.dispose()
    return {"airflow": version("apache-airflow-core"), "revision": revision}


def _known_metadata_url(settings: Settings) -> str:
    """Return the address that `_metadata_url` chose when Airflow started; "" if that database is gone."""
    url, file = make_url(settings.sqlalchemy_url), settings.home / "airflow" / "airflow.db"
    if _is_embedded(settings):
        found = url.set(database="airflow")
    elif file.is_file():
        return f"sqlite:///{file}"
    else:
        found = url.set(database=_own_database(settings))
    with suppress(psycopg2.OperationalError):
        psycopg2.connect(_libpq(found.render_as_string(hide_password=False)), connect_timeout=5).close()
        return found.render_as_string(hide_password=False)
    return ""


def _metadata_url(settings: Settings) -> str:
    """Return the database `airflow` on the embedded server, a new one on the user's own server, or SQLite."""
    url = make_url(settings.sqlalchemy_url)
    if _is_embedded(settings):
        return url.set(database="airflow").render_as_string(hide_password=False)
    name = _own_database(settings)
    if not _made(settings, name):
        log.warning(
            "DATABASE_URL's user may not create the database %s: Airflow's metadata go into SQLite; create that "
            "database yourself, or set AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            name,
        )
        return f"sqlite:///{settings.home / 'airflow' / 'airflow.db'}"
    return url.set(database=name).render_as_string(hide_password=False)


def _is_embedded(settings: Settings) -> bool:
    embedded = running_settings(replace(settings, database_url=Secret("")))
    return embedded is not None and embedded.database_url == settings.database_url


def _own_database(settings: Settings) -> str:
    return f"matchbook_airflow_{hashlib.sha256(str(settings.home).encode()).hexdigest()[:8]}"


def _made(settings: Settings, name: str) -> bool:
    """Create our database on the user's server unless it exists.

    Returns False if we lack the right or the name belongs to others.
    """
    try:
        connection = psycopg2.connect(_libpq(settings.database_url.reveal()), connect_timeout=5)
    except psycopg2.OperationalError as error:
        said = str(error).strip()
        raise ServiceError(f"DATABASE_URL does not answer: {said}; start that PostgreSQL, or unset it") from error
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            comment = _comment(cursor, name)
            if comment is None:
                cursor.execute(f'CREATE DATABASE "{name}"')
                cursor.execute(f'COMMENT ON DATABASE "{name}" IS %s', (OUR_COMMENT,))
            return comment in (None, OUR_COMMENT)
    except psycopg2.errors.InsufficientPrivilege:
        return False
    finally:
        connection.close()


def _comment(cursor: psycopg2.extensions.cursor, name: str) -> str | None:
    """Return the comment of a database: "" if it has none, None if there is no such database."""
    cursor.execute(
        "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = %s", (name,)
    )
    found = cursor.fetchone()
    return None if found is None else str(found[0])


def _libpq(url: str) -> str:
    return "postgresql://" + url.partition("://")[2]


def _kept_secrets(settings: Settings) -> dict[str, str]:
    path = settings.home / "airflow" / "secrets.json"
    if not path.is_file():
        _write_private(
            path,
            {
                "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "secret_key": secrets.token_urlsafe(48),
                "jwt_secret": secrets.token_urlsafe(64),
            },
        )
    found: dict[str, str] = json.loads(path.read_text())
    return found


def _passwords(settings: Settings) -> Path:
    return settings.home / "airflow" / "passwords.json"


def _write_private(path: Path, value: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(value))


def _program(name: str) -> Path:
    return Path(sys.executable).parent / name
