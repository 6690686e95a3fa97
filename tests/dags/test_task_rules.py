"""Which errors are retried, and where a run's staging folder is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import (
    ContractError,
    DataError,
    EmptySnapshot,
    GateClosed,
    MatchbookError,
    ServiceError,
    SettingsError,
    SnapshotShrunk,
)


@pytest.mark.parametrize(
    "error",
    [
        DataError("x"),
        SettingsError("x"),
        ContractError("x"),
        EmptySnapshot("x"),
        MatchbookError("x"),
        GateClosed("x"),
        SnapshotShrunk("x"),
    ],
)
def test_permanent_errors_are_not_retried(error: Exception) -> None:
    from airflow.sdk import RetryAction
    from matchbook_tasks.rules import TRIES

    assert TRIES.evaluate(error, 1, 2).action is RetryAction.FAIL


@pytest.mark.parametrize("error", [ServiceError("x"), ConnectionError("x"), MemoryError(), OSError("x")])
def test_temporary_errors_are_retried(error: Exception) -> None:
    from airflow.sdk import RetryAction
    from matchbook_tasks.rules import TRIES

    assert TRIES.evaluate(error, 1, 2).action is RetryAction.DEFAULT


@given(st.text(min_size=1, max_size=250))
def test_a_run_id_becomes_a_name_that_is_safe_on_every_disk(run_id: str) -> None:
    from models.run_directory import directory_of

    name = directory_of(run_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{8,100}", name)
    assert Path("/runs", name).parent == Path("/runs")


@pytest.mark.parametrize("run_id", ["..", "/", "a/../../b", "manual__2024-05-01T00:00:00+00:00"])
def test_different_run_ids_never_share_a_directory(run_id: str) -> None:
    from models.run_directory import directory_of

    assert directory_of(run_id) == directory_of(run_id)
    assert directory_of(run_id, "refresh_ranked_lists") != directory_of(run_id)  # DAGs may share run names
    assert directory_of(run_id) != directory_of(run_id.replace("+", "-") + " ")
