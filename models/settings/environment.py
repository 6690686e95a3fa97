"""Settings of the environment: locations, secrets, ports, and limits of one machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from models.errors import SettingsError
from models.setting import Phase, setting


class Secret(str):
    """A string that prints as asterisks."""

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def reveal(self) -> str:
        return str.__str__(self)


class Instant(str):
    """An ISO 8601 instant or date, UTC without a zone."""

    def __new__(cls, text: str) -> Instant:
        """Check the text. Raises ValueError if it is invalid."""
        found = super().__new__(cls, text)
        _ = found.at
        return found

    @property
    def at(self) -> datetime:
        found = datetime.fromisoformat(self)
        try:
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError as error:
            raise ValueError(self) from error


_POSTGRES = ("postgresql", "postgres"), "postgresql://user:password@host:5432/database"
_WEB = ("http", "https"), "http://airflow-api-server:8080"
#: By variable of a server's address: its schemes, and an example.
ADDRESSES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "REDIS_URL": (("redis", "rediss", "unix"), "redis://:password@host:6379/0, unix:///path"),
    "DATABASE_URL": _POSTGRES,
    "MATCHBOOK_READER_DATABASE_URL": _POSTGRES,
    "MATCHBOOK_AIRFLOW_URL": _WEB,
    "MATCHBOOK_AIRFLOW_SEEN_AT": _WEB,
}


def check_address(name: str, text: str) -> None:
    """Raise SettingsError for an invalid server address, without showing it: it contains a password."""
    schemes, example = ADDRESSES[name]
    try:
        parts = urlsplit(text)
        fault = "" if parts.scheme.partition("+")[0] in schemes and parts.port != 0 else "another scheme, or port 0"
    except ValueError:
        fault = "a host or port that cannot be read (in a password / # ? @ are written as %2F %23 %3F %40)"
    if fault:
        raise SettingsError(f"{name} must be an address such as {example}, got {fault}")


def boolean(text: str) -> bool:
    """Convert the usual words to bool. Raises ValueError for others."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


@dataclass(frozen=True)
class Environment:
    """Settings of one machine or location. All other settings are in matchbook.toml."""

    config: str = setting("", "settings file; empty: matchbook.toml beside the code", phase=Phase.DEPLOY)
    home: Path = setting(Path(".matchbook"), "all state: databases, artefacts, logs", phase=Phase.DEPLOY)
    artifacts_place: str = setting(
        "",
        "store of snapshots, bundles and releases: a shared directory, or an fsspec URL such as "
        "s3://bucket/matchbook; empty: in MATCHBOOK_HOME",
        phase=Phase.DEPLOY,
        was="MATCHBOOK_ARTIFACTS",
    )
    artifacts_copy: str = setting(
        "",
        "this machine's copy of object storage; empty: artifacts in MATCHBOOK_HOME",
        phase=Phase.DEPLOY,
    )
    database_url: Secret = setting(
        Secret(""), "your PostgreSQL; empty: an embedded server is started", phase=Phase.DEPLOY, was="DATABASE_URL"
    )
    reader_database_url: Secret = setting(
        Secret(""), "read replica for the reader; empty: DATABASE_URL", phase=Phase.DEPLOY
    )
    redis_url: Secret = setting(
        Secret(""), "your Redis; empty: an embedded server is started", phase=Phase.DEPLOY, was="REDIS_URL"
    )
    redis_budget_mb: int = setting(
        0,
        "memory limit for Redis; 0: its maxmemory, else 80% of its machine",
        unit="MB",
        low=0,
        phase=Phase.DEPLOY,
    )
    namespace: str = setting("matchbook", "prefix of every Redis key", phase=Phase.DEPLOY)
    reader_host: str = setting("127.0.0.1", "address of the reader", phase=Phase.DEPLOY)
    reader_port: int = setting(5000, "port of the reader", low=1, high=65535, phase=Phase.DEPLOY)
    reader_workers: int = setting(2, "processes of the reader", low=1, high=64, phase=Phase.DEPLOY)
    reader_threads: int = setting(4, "threads per reader process", low=1, high=64, phase=Phase.DEPLOY)
    api_keys: str = setting(
        "auto",
        "whether the reader requires a key; auto: beyond loopback",
        choices=("auto", "on", "off"),
        phase=Phase.DEPLOY,
    )
    api_keys_path: str = setting(
        "",
        "file of hashed API keys; empty: api-keys.json in MATCHBOOK_HOME",
        phase=Phase.DEPLOY,
        was="MATCHBOOK_API_KEYS_FILE",
    )
    answer_key: Secret = setting(
        Secret(""),
        "signs answer ids, the same for all readers; empty: the file answer-key in MATCHBOOK_HOME, created if missing",
        phase=Phase.DEPLOY,
    )
    pseudonym_key: Secret = setting(
        Secret(""),
        "makes pseudonyms in the access log, the same for all readers; empty: the file pseudonym-key in "
        "MATCHBOOK_HOME, created if missing",
        phase=Phase.DEPLOY,
    )
    webhook_url: Secret = setting(
        Secret(""),
        "receives failures, late lists and open questions as JSON; empty: log only",
        phase=Phase.DEPLOY,
    )
    airflow_port: int = setting(8080, "port of the Airflow UI, on 127.0.0.1", low=1, high=65535, phase=Phase.DEPLOY)
    airflow_url: str = setting(
        "",
        "address of Airflow for the reader's console; `make up` sets it; empty: no builds and no actions there",
        phase=Phase.DEPLOY,
    )
    airflow_seen_at: str = setting(
        "", "address of Airflow in links of the console; empty: MATCHBOOK_AIRFLOW_URL", phase=Phase.DEPLOY
    )
    airflow_user: str = setting(
        "console", "user of Airflow for the reader's console; it needs the role user", phase=Phase.DEPLOY
    )
    airflow_password: Secret = setting(Secret(""), "password of that user; `make up` sets it", phase=Phase.DEPLOY)
    airflow_database_url: Secret = setting(
        Secret(""),
        "Airflow's metadata database, for erasure and retention; `make up` sets it; empty: left alone",
        phase=Phase.DEPLOY,
    )
    airflow_logs: str = setting("", "folder of task logs; empty: airflow/logs in MATCHBOOK_HOME", phase=Phase.DEPLOY)
    executor: str = setting(
        "local",
        "where Airflow tasks run: on the scheduler's machine, or on Celery workers",
        choices=("local", "celery"),
        phase=Phase.DEPLOY,
    )
    log_level: str = setting("INFO", "log level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), phase=Phase.DEPLOY)
    threads: int = setting(2, "threads per scoring task", low=1, high=256, phase=Phase.DEPLOY)
    train_threads: int = setting(
        2, "threads of training; recorded, because sums depend on it", low=1, high=256, phase=Phase.TRAIN
    )
    device: str = setting(
        "cpu",
        "where the two-tower trains; cuda results repeat on the same GPU only",
        choices=("cpu", "cuda"),
        phase=Phase.TRAIN,
    )
    experiments: str = setting(
        "",
        "JSON file of experiments; its content is recorded with a build; empty: none",
        phase=Phase.RANK,
    )
