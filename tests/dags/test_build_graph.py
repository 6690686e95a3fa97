"""The graph of build_recommendations: its order, schedule, parameters and dependencies."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import pytest

from models import registry
from models.schema import Surface
from models.spec import Stage
from pipelines.build import BUILD, STEPS, place_of

GROUPS = ["prepare", "train", "judge", "score", "release"]
MODELS = [spec.name for spec in registry.staged(Stage.BASE)]


@pytest.fixture
def build(dags: dict[str, Any]) -> Any:
    return dags["build_recommendations"]


def test_the_graph_has_the_steps_of_the_build_in_their_order(build: Any) -> None:
    """Each task is a step of `pipelines.build.STEPS`, with its group, and each step has a task.

    Every step comes after the steps that produce its inputs.
    """
    steps = [step.id for step in STEPS]
    places = {f"train.{model}": steps.index("train") for model in MODELS} | {s: i for i, s in enumerate(steps)}
    names = {t.task_id for t in build.tasks}
    assert names - set(places) == set(), "a task of the DAG is no step of pipelines/build.py"
    assert set(steps) - {"train"} <= names, "a step of pipelines/build.py has no task in the DAG"
    for task in build.tasks:
        late = [t for t in task.downstream_task_ids if places[t] <= places[task.task_id]]
        assert not late, f"{task.task_id} stands after {late} in pipelines/build.py"
    for step in (s for s in STEPS if s.id in names):
        needed = {*step.takes, step.each} - {BUILD, "", "models", "train"}
        before = {t.task_id for t in build.get_task(step.id).get_flat_relatives(upstream=True)}
        assert needed <= before, f"{step.id} takes {needed - before}, which the DAG does not give it"


def test_every_step_names_a_function_that_takes_what_is_declared() -> None:
    for step in STEPS[1:]:
        given = list(inspect.signature(step.function()).parameters)
        wanted = 1 + len(step.takes) + bool(step.each)
        assert set(step.options) <= set(given[wanted:]), f"{step.id}: {step.does} has no option of {step.options}"
        assert len(given) - len(step.options) >= wanted, f"{step.id}: {step.does} takes {given}"


def test_reports_list_tasks_in_the_order_of_the_build(build: Any) -> None:
    ended = ["release.weigh", "train.als", "score.score_shard", "prepare.choose_cutoff", "measure"]
    assert sorted(ended, key=place_of) == [ended[3], ended[1], ended[2], ended[0], ended[4]]
    assert all(place_of(t.task_id) < len(STEPS) for t in build.tasks)


def test_the_groups_are_in_the_order_of_the_pipeline(build: Any) -> None:
    assert list(build.task_group.children) == GROUPS
    place = {name: i for i, name in enumerate(GROUPS)}
    for task in build.tasks:
        group = place[task.task_id.partition(".")[0]]
        assert all(place[t.partition(".")[0]] >= group for t in task.downstream_task_ids), task.task_id


def test_every_base_model_has_a_task_of_its_own_that_waits_for_the_snapshot_only(build: Any) -> None:
    assert {t.task_id for t in build.tasks if t.task_id.startswith("train.")} == {f"train.{m}" for m in MODELS}
    assert {build.get_task(f"train.{m}").op_args[0] for m in MODELS} == set(registry.bundles())
    for model in MODELS:
        assert build.get_task(f"train.{model}").upstream_task_ids == {"prepare.take_snapshot"}


def test_shards_are_mapped_over_what_was_planned(build: Any) -> None:
    shard = build.get_task("score.score_shard")
    assert shard.is_mapped
    assert "score.plan_shards" in shard.upstream_task_ids


def test_nothing_is_published_before_every_shard_was_checked(build: Any) -> None:
    before = {t.task_id for t in build.get_task("release.publish").get_flat_relatives(upstream=True)}
    released = {"release.assemble", "release.weigh", "release.gate"}
    assert released | {"score.score_shard", "judge.evaluate", "judge.choose_bundles"} <= before
    assert {f"train.{m}" for m in MODELS} <= before
    assert build.get_task("release.publish").downstream_task_ids == set()


def test_the_report_is_written_before_lists_go_live(build: Any) -> None:
    report = build.get_task("release.write_report")
    assert "release.weigh" in report.upstream_task_ids
    after = {t.task_id for t in report.get_flat_relatives(upstream=False)}
    assert "release.publish" in after


def test_a_day_without_news_stops_before_anything_is_copied_or_trained(build: Any) -> None:
    after = {t.task_id for t in build.get_task("prepare.look_for_new_data").get_flat_relatives(upstream=False)}
    assert after == {t.task_id for t in build.tasks} - {"prepare.choose_cutoff", "prepare.look_for_new_data"}


@pytest.mark.parametrize(
    ("task", "pool"),
    [
        ("train.als", "matchbook_training"),
        ("train.two_tower", "matchbook_training"),
        ("judge.hold_out", "matchbook_training"),
        ("judge.fit_ranker", "matchbook_training"),
        ("score.score_shard", "matchbook_scoring"),
        ("release.publish", "matchbook_publish"),
    ],
)
def test_what_needs_memory_or_writes_lists_waits_in_a_pool(build: Any, task: str, pool: str) -> None:
    assert build.get_task(task).pool == pool


@pytest.mark.parametrize(
    ("task", "asset"),
    [
        ("prepare.take_snapshot", "matchbook_snapshot"),
        ("judge.choose_bundles", "matchbook_bundles"),
        ("release.assemble", "matchbook_release"),
        ("release.publish", "matchbook_live_lists"),
    ],
)
def test_results_for_other_dags_are_assets(build: Any, task: str, asset: str) -> None:
    assert [o.name for o in build.get_task(task).outlets] == [asset]


def test_it_is_scheduled_daily_at_two_with_an_interval_and_never_catches_up(build: Any) -> None:
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import DagSerialization

    stored = DagSerialization.from_dict(DagSerialization.to_dict(build))
    assert isinstance(stored, SerializedDAG)
    runs = list(stored.iter_dagrun_infos_between(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 3, tzinfo=UTC)))
    assert [r.data_interval and r.data_interval.end for r in runs] == [
        datetime(2024, 5, day, 2, tzinfo=UTC) for day in (2, 3)
    ]
    assert build.catchup is False


def test_the_parameters_and_their_defaults(build: Any) -> None:
    assert build.params.dump() == {
        "as_of": None,
        "surfaces": [s.value for s in Surface],
        "publish": True,
        "force": False,
        "fresh": False,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("as_of", "yesterday"),
        ("as_of", 5),
        ("surfaces", []),
        ("surfaces", ["startups/for-nobody"]),
        ("surfaces", ["startups/for-developer"] * 2),
        ("publish", "yes"),
        ("force", None),
        ("fresh", 1),
    ],
)
def test_a_wrong_parameter_is_refused_when_the_run_is_triggered(build: Any, name: str, value: object) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        build.params.get_param(name).resolve(value)


@pytest.mark.parametrize(
    "value", [None, "2013-04-05", "2013-04-05T00:00:01Z", "2013-04-05 00:00", "2013-04-05T02:00+02:00"]
)
def test_an_instant_may_be_written_in_the_usual_ways(build: Any, value: str | None) -> None:
    assert build.params.get_param("as_of").resolve(value) == value
