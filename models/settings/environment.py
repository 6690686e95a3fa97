"""What stays in the environment: where things are, secrets, ports, and what one machine may use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.setting import Phase, setting
from models.settings.kinds import Secret


@dataclass(frozen=True)
class Environment:
    """Settings of one place or machine. Not in matchbook.toml, which is the same for all of a deployment."""

    config: str = setting("", "the file of settings; empty: matchbook.toml beside the code", phase=Phase.DEPLOY)
    home: Path = setting(Path(".matchbook"), "all state: databases, artefacts, logs", phase=Phase.DEPLOY)
    artifacts_place: str = setting(
        "",
        "where snapshots, bundles and releases are stored: a directory that every machine sees, or an fsspec URL such "
        "as s3://bucket/matchbook; empty: in MATCHBOOK_HOME",
        phase=Phase.DEPLOY,
        was="MATCHBOOK_ARTIFACTS",
    )
    artifacts_copy: str = setting(
        "",
        "where this machine keeps its copy of object storage; empty: artifacts in MATCHBOOK_HOME",
        phase=Phase.DEPLOY,
    )
    database_url: Secret = setting(
        Secret(""), "your PostgreSQL; empty: an embedded one is started", phase=Phase.DEPLOY, was="DATABASE_URL"
    )
    reader_database_url: Secret = setting(
        Secret(""), "a read replica for the reader's questions (N06); empty: DATABASE_URL", phase=Phase.DEPLOY
    )
    redis_url: Secret = setting(
        Secret(""), "your Redis; empty: an embedded one is started", phase=Phase.DEPLOY, was="REDIS_URL"
    )
    redis_budget_mb: int = setting(
        0,
        "memory that Redis may use; 0: its maxmemory, else 80% of its machine",
        unit="MB",
        low=0,
        phase=Phase.DEPLOY,
    )
    namespace: str = setting("matchbook", "first part of every Redis key", phase=Phase.DEPLOY)
    reader_host: str = setting("127.0.0.1", "address the reader listens on", phase=Phase.DEPLOY)
    reader_port: int = setting(5000, "port of the reader (R10)", low=1, high=65535, phase=Phase.DEPLOY)
    reader_workers: int = setting(2, "processes of the reader", low=1, high=64, phase=Phase.DEPLOY)
    reader_threads: int = setting(4, "threads of one process of the reader", low=1, high=64, phase=Phase.DEPLOY)
    api_keys: str = setting(
        "auto",
        "whether the reader asks for a key; auto: where it listens beyond loopback",
        choices=("auto", "on", "off"),
        phase=Phase.DEPLOY,
    )
    api_keys_path: str = setting(
        "",
        "the file of API keys, hashed; empty: api-keys.json in MATCHBOOK_HOME",
        phase=Phase.DEPLOY,
        was="MATCHBOOK_API_KEYS_FILE",
    )
    answer_key: Secret = setting(
        Secret(""),
        "signs the ids of answers, the same for all readers; empty: the file answer-key in MATCHBOOK_HOME, made when "
        "it is missing",
        phase=Phase.DEPLOY,
    )
    pseudonym_key: Secret = setting(
        Secret(""),
        "hides owners' ids in the access log (L06), the same for all readers; empty: the file pseudonym-key in "
        "MATCHBOOK_HOME, made when it is missing",
        phase=Phase.DEPLOY,
    )
    webhook_url: Secret = setting(
        Secret(""),
        "where failures, late lists and open questions are posted as JSON; empty: logged only",
        phase=Phase.DEPLOY,
    )
    airflow_port: int = setting(8080, "port of the Airflow UI, on 127.0.0.1", low=1, high=65535, phase=Phase.DEPLOY)
    airflow_database_url: Secret = setting(
        Secret(""),
        "Airflow's metadata database, where erasing looks too and old rows are deleted; `make up` knows its own; empty "
        "elsewhere: left alone",
        phase=Phase.DEPLOY,
    )
    airflow_logs: str = setting(
        "", "the folder of task logs; empty: airflow/logs in MATCHBOOK_HOME", phase=Phase.DEPLOY
    )
    executor: str = setting(
        "local",
        "who runs Airflow's tasks: the scheduler's machine, or Celery workers on any",
        choices=("local", "celery"),
        phase=Phase.DEPLOY,
    )
    log_level: str = setting(
        "INFO", "level of the logs", choices=("DEBUG", "INFO", "WARNING", "ERROR"), phase=Phase.DEPLOY
    )
    threads: int = setting(2, "threads of one scoring task", low=1, high=256, phase=Phase.DEPLOY)
    train_threads: int = setting(
        2, "threads of training; recorded, as sums depend on it", low=1, high=256, phase=Phase.TRAIN
    )
    device: str = setting(
        "cpu",
        "where the two-tower trains; a GPU repeats its own bytes only",
        choices=("cpu", "cuda"),
        phase=Phase.TRAIN,
    )
    experiments: str = setting(
        "",
        "JSON file of experiments, whose content is recorded with a build; empty: none (O01, M08)",
        phase=Phase.RANK,
    )
