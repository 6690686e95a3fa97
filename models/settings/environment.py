"""What stays in the environment: where things are, secrets, ports, and what one machine may use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.setting import Phase, setting
from models.settings.kinds import Secret


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
