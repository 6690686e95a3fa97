"""Airflow's own command deletes old rows and logs, and keeps the newest."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, insert, select

from models.errors import ServiceError
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.airflow_records import clean_airflow, cut_logs

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _plant(metadata: Any, dag: str, days: int, since: int = 0) -> None:
    """Store one run and one log line for each of `days` days. The newest is `since` days old."""
    engine, tables = metadata
    with engine.begin() as connection:
        for day in range(since, since + days):
            at = NOW - timedelta(days=day, hours=1)
            connection.execute(
                insert(tables["dag_run"]).values(
                    dag_id=dag,
                    run_id=f"{dag} {day}",
                    state="success",
                    run_type="scheduled",
                    queued_at=at,
                    start_date=at,
                    end_date=at,
                    logical_date=at,
                    run_after=at,
                    updated_at=at,
                    clear_number=0,
                    span_status="ended",
                )
            )
            connection.execute(
                insert(tables["log"]).values(dttm=at, dag_id=dag, event="success", run_id=f"{dag} {day}")
            )


def _kept(metadata: Any, table: str) -> Counter[str]:
    engine, tables = metadata
    with engine.begin() as connection:
        dags = connection.scalars(select(tables[table].c.dag_id))  # Airflow's own commands are logged without a DAG
        return Counter(dag for dag in dags if dag)


def _settings(tmp_path: Path, metadata: Any) -> Settings:
    return Settings(home=tmp_path, airflow_database_url=Secret(str(metadata[0].url))).layered(
        {"airflow_keep_days": 7}, "given"
    )


def _log(folder: Path, dag: str, days: float) -> Path:
    path = folder / f"dag_id={dag}" / f"run_id=r{days}" / "attempt=1.log"
    path.parent.mkdir(parents=True)
    path.write_text("done")
    for each in (path, path.parent):
        os.utime(each, ((NOW - timedelta(days=days)).timestamp(),) * 2)
    return path


def test_old_rows_and_logs_go(metadata: Any, tmp_path: Path) -> None:
    settings = _settings(tmp_path, metadata)
    for dag in ("build_recommendations", "drain_events", "monthly"):
        _plant(metadata, dag, 20)
    _plant(metadata, "lately_gone", 1)
    _plant(metadata, "paused", 3, since=400)  # the newest scheduled run stays at any age
    logs = {
        (dag, days): _log(settings.airflow_log_folder, dag, days)
        for dag in ("build_recommendations", "drain_events")
        for days in (0.5, 3, 9)
    }

    assert clean_airflow(settings, NOW) == {"rows": True, "logs": 2, "cut": 0}

    kept = {"build_recommendations": 7, "monthly": 7, "drain_events": 7, "lately_gone": 1}
    assert _kept(metadata, "dag_run") == {**kept, "paused": 1} and _kept(metadata, "log") == kept
    assert {k for k, path in logs.items() if path.exists()} == {
        ("build_recommendations", 0.5),
        ("build_recommendations", 3),
        ("drain_events", 0.5),
        ("drain_events", 3),
    }
    engine, _ = metadata
    after = MetaData()
    after.reflect(engine)
    assert not [t for t in after.tables if t.startswith("_airflow_deleted")], "nothing is archived"


def test_from_inside_a_task_where_airflow_hides_its_database(
    metadata: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN"):
        monkeypatch.setenv(name, "airflow-db-not-allowed:///")
    _plant(metadata, "x", 9)
    clean_airflow(_settings(tmp_path, metadata), NOW)
    assert _kept(metadata, "dag_run") == {"x": 7}


def test_an_unknown_database_is_left_alone_and_a_broken_one_is_reported(tmp_path: Path) -> None:
    assert clean_airflow(Settings(home=tmp_path), NOW)["rows"] is False
    broken = Settings(home=tmp_path, airflow_database_url=Secret(f"sqlite:///{tmp_path}/no/such/folder/x.db"))
    with pytest.raises(ServiceError, match="airflow db clean"):
        clean_airflow(broken, NOW)


def test_a_log_that_is_too_long_loses_its_older_half_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "reader.log"
    with path.open("a") as writer:
        for n in range(1000):
            writer.write(f"line {n}\n")
        writer.flush()
        assert cut_logs(tmp_path, most=2000) == 1 and cut_logs(tmp_path, most=2000) == 0
        writer.write("line 1000\n")
    lines = path.read_text().splitlines()
    assert lines[-2:] == ["line 999", "line 1000"] and lines == [f"line {n}" for n in range(1001 - len(lines), 1001)]
    assert path.stat().st_size < 1100
