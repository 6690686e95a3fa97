"""Run build_recommendations for real: one process, tiny marketplace, real PostgreSQL and Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis
from sqlalchemy import text

from models.data.event import Event
from models.lists.answer_id import ShownAnswer
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import Keys, encode_lists
from models.lists.release import release_lists
from models.schema import EventType, Method, Surface
from models.settings.settings import Settings
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine, transaction
from pipelines.publish.history import list_releases
from pipelines.redis_client import current_release
from pipelines.report.store import page_of
from pipelines.run.run import EPOCH
from pipelines.store.artifacts import Artifacts
from tests.marketplace.small import quick_builds, small_variables
from tests.marketplace.tiny import AFTER_ALL, NEWEST, identity, write_tiny_marketplace

SMALL = small_variables(shards=2, ranker_cuts=1)
DAY = timedelta(days=1)
Build = Callable[..., Any]

# warnings of Airflow in `dag.test()`
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx`"),
]


@pytest.fixture
def marketplace(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Load the tiny marketplace into PostgreSQL, and set the environment of tasks."""
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    where = {
        "MATCHBOOK_HOME": str(settings.home),
        "MATCHBOOK_NAMESPACE": settings.namespace,
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
    }
    for name, value in {**SMALL, **where}.items():
        monkeypatch.setenv(name, value)
    with quick_builds():
        yield settings


@pytest.fixture
def run_dag(airflow_metadata: Path, read_dags: Callable[[], dict[str, Any]]) -> Build:
    """Run a DAG to its end. `kind` and `interval` imitate a run of the scheduler."""
    from airflow.models import dagrun

    created = dagrun.get_or_create_dagrun

    def run(
        dag: str = "build_recommendations",
        kind: str = "manual",
        interval: tuple[datetime, datetime] | None = None,
        retries: int = 0,
        **conf: Any,
    ) -> Any:
        def as_the_scheduler_would(**given: Any) -> Any:
            made = created(**given)
            made.run_type = kind
            if interval:
                made.data_interval_start, made.data_interval_end = interval
            given["session"].commit()
            return made

        mine = read_dags()[dag]  # read again, because a run leaves its parameters in the DAG object
        for task in mine.tasks:
            task.retries = retries
        with patch.object(dagrun, "get_or_create_dagrun", as_the_scheduler_would):
            return mine.test(logical_date=None, run_conf=conf)

    return run


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def returned(run: Any, task: str) -> Any:
    return run.get_task_instance(task).xcom_pull(task_ids=task)


def stored_lists(settings: Settings, release: str, surface: Surface) -> list[bytes]:
    """Return the stored lists of one surface as Redis holds them, for any number of shards."""
    artifacts = Artifacts(settings)
    directory = artifacts.root / "releases" / release
    return encode_lists(RankedLists.concat(list(release_lists(directory, artifacts.release(release), surface))))


def test_from_rows_to_live_lists_then_older_and_partial_builds_that_stay_stored(
    marketplace: Settings, run_dag: Build
) -> None:
    first = run_dag(as_of=AFTER_ALL.isoformat())
    assert first.state == "success", states(first)
    assert set(states(first).values()) == {"success"}
    for ti in first.get_task_instances():  # tasks pass only small values
        assert len(json.dumps(ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index))) < 10_000, ti.task_id
    assert returned(first, "prepare.choose_cutoff")["as_of"] == AFTER_ALL.isoformat()
    live = returned(first, "release.assemble")
    assert live["lists"] == {
        "startups/for-developer": 27,
        "startups/for-investor": 9,
        "developers/for-startup": 15,
        "investors/for-startup": 15,
        "startups/similar-to": 15,
        "users/similar-to": 36,
    }
    assert returned(first, "release.publish")["published"] is True
    the_report_tells_of_every_step(marketplace, first, live["release"])
    assert {ti.rendered_map_index for ti in first.get_task_instances() if ti.map_index >= 0} >= {
        "startups/for-developer 1",
        "startups/for-investor 1",
        "developers/for-startup 1",
        "investors/for-startup 1",
    }
    assert current_release(marketplace) == live["release"]
    with redis.Redis.from_url(marketplace.redis_url.reveal()) as client:
        assert client.hlen(f"{marketplace.namespace}:release:{live['release']}:startups/for-developer") == 27 + 1

    older = run_dag(as_of=(NEWEST - 7 * DAY).isoformat())
    assert older.state == "success", states(older)
    assert states(older)["release.publish"] == "skipped"
    kept_aside = returned(older, "release.publish")
    assert kept_aside["published"] is False
    assert "newer cutoff" in kept_aside["reason"] and "promote" in kept_aside["reason"]
    assert current_release(marketplace) == live["release"]
    assert [(r["release"], r["state"]) for r in list_releases(marketplace)] == [
        (live["release"], "live"),
        (returned(older, "release.assemble")["release"], "stored"),
    ]

    promoted_older_only_by_force_and_back(marketplace, run_dag, kept_aside["release"], live["release"])

    part = run_dag(as_of=AFTER_ALL.isoformat(), surfaces=["startups/for-investor"])
    assert part.state == "success", states(part)
    assert "only some surfaces" in returned(part, "release.publish")["reason"]
    partial = returned(part, "release.assemble")
    assert set(partial["lists"]) == {Surface.STARTUPS_FOR_INVESTOR.value}
    same = [stored_lists(marketplace, r["release"], Surface.STARTUPS_FOR_INVESTOR) for r in (partial, live)]
    assert len(same[0]) == 9 and same[0] == same[1]  # the same cutoff gives the same bytes
    assert current_release(marketplace) == live["release"]


def the_report_tells_of_every_step(settings: Settings, run: Any, release: str) -> None:
    """The report is stored with the release and updated later, so it has the last steps."""
    told = json.loads((settings.artifacts / "reports" / release / "report.json").read_text())
    assert returned(run, "release.write_report")["release"] == told["release"] == release
    ran = {(ti.task_id, None if ti.map_index < 0 else ti.map_index) for ti in run.get_task_instances()}
    assert {(line["step"], line["index"]) for line in told["steps"]} == ran
    assert told["lists"]["lists"]["investors/for-startup"] == 15 and told["data"]["counts"]["interactions"] > 0
    page = page_of(settings, "build_recommendations", run.run_id)
    assert "release.publish" in page and f"<dd>{release}</dd>" in page


def promoted_older_only_by_force_and_back(settings: Settings, run_dag: Build, older: str, live: str) -> None:
    """Use the operator's DAG: dry run, older release without and with force, forward again, and back."""
    for given, reason in (({"dry_run": True, "force": True}, "a dry run"), ({}, "newer cutoff")):
        kept = run_dag("promote_release", release=older, **given)
        assert states(kept) == {"promote": "skipped"} and reason in returned(kept, "promote")["reason"]
        assert current_release(settings) == live
    assert states(run_dag("promote_release", release=older, force=True)) == {"promote": "success"}
    assert current_release(settings) == older
    assert run_dag("promote_release").state == "failed" and current_release(settings) == older, "no way back is older"
    assert returned(run_dag("promote_release", release=live), "promote")["release"] == live == current_release(settings)
    for state in ("success", "skipped"):  # a second run to the same release changes nothing
        assert states(run_dag("promote_release", back_to=older)) == {"promote": state}
        assert current_release(settings) == older
    assert states(run_dag("promote_release", release=live)) == {"promote": "success"}


def test_a_scheduled_run_without_news_says_so_and_publishes_nothing(marketplace: Settings, run_dag: Build) -> None:
    end = datetime(2024, 6, 1, 2, tzinfo=UTC)
    run = run_dag(kind="scheduled", interval=(end - DAY, end))
    assert run.state == "success"
    found = states(run)
    assert found.pop("prepare.choose_cutoff") == "success"
    assert set(found.values()) == {"skipped"}
    reason = returned(run, "prepare.look_for_new_data")["reason"]
    assert "2024-04-29T23:00:00" in reason and "nothing is built or published" in reason
    assert list_releases(marketplace) == []


@pytest.mark.parametrize(
    ("kind", "as_of"), [("backfill", "2024-04-01"), ("manual", "2999-01-01"), ("manual", "2024-13-45")]
)
def test_a_run_that_cannot_have_a_cutoff_fails_at_once_and_is_not_tried_again(
    marketplace: Settings, run_dag: Build, kind: str, as_of: str
) -> None:
    end = datetime(2024, 4, 20, 2, tzinfo=UTC)
    run = run_dag(kind=kind, interval=(end - DAY, end) if kind == "backfill" else None, retries=2, as_of=as_of)
    assert run.state == "failed"
    cutoff = run.get_task_instance("prepare.choose_cutoff")
    assert (str(cutoff.state), cutoff.try_number) == ("failed", 1)
    assert list_releases(marketplace) == []


def test_trending_lists_wait_for_a_release(marketplace: Settings, run_dag: Build) -> None:
    run = run_dag("refresh_trending")
    assert states(run) == {"refresh": "skipped", "look_at_age": "success"}
    assert "run build_recommendations first" in returned(run, "refresh")["reason"]
    assert returned(run, "look_at_age")["release"] is None


def test_a_drain_stores_waiting_events_and_ends_if_there_are_none(marketplace: Settings, run_dag: Build) -> None:
    event = Event("e", identity("user", 7), identity("startup", 3), EventType.APPLY, NEWEST)
    with redis.Redis.from_url(marketplace.redis_url.reveal()) as client:
        client.xadd(Keys(marketplace.namespace).events, event.entry())
    run = run_dag("drain_events", kind="scheduled", interval=(NEWEST, NEWEST + timedelta(minutes=1)))
    assert states(run) == {"drain": "success"}
    assert returned(run, "drain")["new"] == 1
    with transaction(engine(marketplace)) as connection:
        assert connection.scalar(text("SELECT type FROM matchbook_events")) == "apply"
    again = run_dag("drain_events")
    assert (states(again), returned(again, "drain")["drained"]) == ({"drain": "success"}, 0)


def test_what_was_shown_is_measured_as_of_the_end_of_the_hour(marketplace: Settings, run_dag: Build) -> None:
    hour = (NEWEST, NEWEST + timedelta(hours=1))
    run = run_dag("measure_answers", kind="scheduled", interval=hour)
    assert states(run) == {"measure": "skipped", "diagnose": "success"}
    assert "no impression has the id of an answer" in returned(run, "measure")["reason"]
    shown = ShownAnswer(Surface.STARTUPS_FOR_DEVELOPER, Method.ALS, Method.ALS, "r", (NEWEST - EPOCH).days)
    answer = shown.spell(identity("user", 7), b"k" * 32)
    with redis.Redis.from_url(marketplace.redis_url.reveal()) as client:
        for kind in (EventType.IMPRESSION, EventType.CLICK):
            event = Event(kind.value, identity("user", 7), identity("startup", 3), kind, NEWEST, answer, 1)
            client.xadd(Keys(marketplace.namespace).events, event.entry())
    assert states(run_dag("drain_events")) == {"drain": "success"}
    run = run_dag("measure_answers", kind="scheduled", interval=(hour[0] + timedelta(hours=1), hour[1] + DAY))
    assert states(run) == {"measure": "success", "diagnose": "success"}
    found = returned(run, "measure")
    assert (found["impressions"], found["kept"], found["made_at"]) == (1, True, (hour[1] + DAY).isoformat())
    (method,) = json.loads((marketplace.artifacts / "earnings.json").read_text())["by"]["method"]
    assert (method["name"], method["clicked"]) == ("als", 1)


def test_there_is_nothing_to_retire_in_an_empty_installation(marketplace: Settings, run_dag: Build) -> None:
    run = run_dag("retire_old_artifacts")
    assert states(run) == {"retire": "success", "clean_airflow": "success"}
    assert returned(run, "retire") == {}


def test_an_unknown_user_is_erased_and_named_nowhere(marketplace: Settings, run_dag: Build) -> None:
    person = "0f0e0d0c-0b0a-4908-8706-050403020100"
    run = run_dag("erase_person", person=person)
    assert states(run) == {"erase": "success"}
    receipt = returned(run, "erase")
    assert receipt["left"] == [] and person not in json.dumps(receipt)
    assert (marketplace.home / "erasure" / f"{receipt['mark']}.json").is_file()
