"""Check one cutoff rule for every kind of run: a wrong cutoff is a leak."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError, SettingsError
from pipelines.run.run import RunTimes, cutoff_of, no_new_data

DUE = datetime(2024, 5, 2, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_scheduled_run_ends_where_its_interval_ends() -> None:
    run = RunTimes("scheduled", run_after=DUE + timedelta(minutes=3), logical_date=DUE - DAY, data_interval_end=DUE)
    assert cutoff_of(run).at == DUE


def test_a_scheduled_run_does_not_listen_to_a_default_parameter() -> None:
    run = RunTimes("scheduled", run_after=DUE, logical_date=DUE - DAY, data_interval_end=DUE, as_of="2020-01-01")
    assert cutoff_of(run).at == DUE


def test_a_backfilled_day_ends_where_that_day_ends_and_not_when_it_was_run() -> None:
    run = RunTimes("backfill", run_after=DUE, logical_date=DUE - 9 * DAY, data_interval_end=DUE - 8 * DAY)
    assert cutoff_of(run) == (DUE - 8 * DAY, "the end of the backfilled interval")


def test_a_backfill_with_as_of_is_refused_in_clear_words() -> None:
    run = RunTimes("backfill", run_after=DUE, logical_date=DUE - DAY, data_interval_end=DUE, as_of="2024-05-01")
    with pytest.raises(SettingsError, match=r"as_of='2024-05-01'.*without as_of"):
        cutoff_of(run)


@pytest.mark.parametrize("kind", ["manual", "operator_triggered", "asset_triggered", "asset_materialization"])
def test_every_other_run_takes_as_of_first(kind: str) -> None:
    run = RunTimes(kind, run_after=DUE, logical_date=DUE, data_interval_end=DUE, as_of="2013-04-05T00:00:01Z")
    assert cutoff_of(run) == (datetime(2013, 4, 5, 0, 0, 1, tzinfo=UTC), "the parameter as_of")


def test_a_manual_run_with_a_date_ends_at_that_date_and_not_at_the_interval_around_it() -> None:
    asked = datetime(2024, 4, 30, 12, tzinfo=UTC)
    run = RunTimes("manual", run_after=DUE, logical_date=asked, data_interval_end=datetime(2024, 4, 30, 2, tzinfo=UTC))
    assert cutoff_of(run).at == asked


@pytest.mark.parametrize("kind", ["manual", "asset_triggered"])
def test_a_run_without_any_date_ends_at_its_own_time(kind: str) -> None:
    assert cutoff_of(RunTimes(kind, run_after=DUE)).at == DUE


def test_an_empty_as_of_is_no_as_of() -> None:
    assert cutoff_of(RunTimes("manual", run_after=DUE, as_of="")).at == DUE


def test_words_that_are_no_instant_are_refused() -> None:
    with pytest.raises(DataError, match=r"ISO 8601.*yesterday"):
        cutoff_of(RunTimes("manual", run_after=DUE, as_of="yesterday"))


def test_a_mistyped_year_does_not_block_every_later_release() -> None:
    with pytest.raises(SettingsError, match="in the future"):
        cutoff_of(RunTimes("manual", run_after=DUE, as_of="2042-05-01"))


def test_a_run_that_was_dated_back_to_come_first_may_still_build_as_of_today() -> None:
    run = RunTimes("manual", run_after=DUE - 2 * DAY, as_of=DUE.isoformat(), started=DUE)
    assert cutoff_of(run).at == DUE


def test_a_timetable_without_intervals_is_refused() -> None:
    with pytest.raises(SettingsError, match="cover an interval"):
        cutoff_of(RunTimes("scheduled", run_after=DUE, logical_date=DUE))


@given(st.integers(0, int(DUE.timestamp() * 1_000_000)), st.sampled_from(["manual", "asset_triggered"]))
def test_as_of_is_taken_to_the_microsecond_and_always_in_utc(microseconds: int, kind: str) -> None:
    written = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    at = cutoff_of(RunTimes(kind, run_after=DUE, as_of=written.isoformat())).at
    assert at == written and at.utcoffset() == timedelta(0)


def test_one_interval_old_is_still_new_and_older_is_not() -> None:
    assert no_new_data(DUE, DUE - DAY, DAY) is None
    assert "more than one interval" in str(no_new_data(DUE, DUE - DAY - timedelta(microseconds=1), DAY))


def test_events_after_the_cutoff_show_that_the_platform_delivers() -> None:
    assert no_new_data(DUE, DUE + DAY, DAY) is None


def test_an_empty_marketplace_has_nothing_new() -> None:
    assert "there are no interactions" in str(no_new_data(DUE, None, DAY))


def test_a_date_of_a_run_may_not_lie_ahead_of_it() -> None:
    with pytest.raises(SettingsError, match="lies in the future"):
        cutoff_of(RunTimes("manual", run_after=DUE, logical_date=DUE + 30_000 * DAY))
    for ahead in (
        RunTimes("manual", run_after=DUE, logical_date=DUE + DAY / 2),
        RunTimes("manual", run_after=DUE, as_of=(DUE + DAY / 2).isoformat()),
    ):
        assert cutoff_of(ahead).at == DUE, "hardly ahead: now"
