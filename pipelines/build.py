"""Declare the steps of a build, in order. DAG files import this module, so it imports little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.spec import function

#: In `takes`: the build reference after the previous steps.
BUILD = "build"


@dataclass(frozen=True)
class Step:
    """One step of a build. Its function gets the run, the results in `takes`, and one item if `each` is set.

    does: "module:function".
    takes: BUILD, or ids of steps whose results it needs.
    gives: class in `pipelines.refs` of its result or results. "" means figures for people.
    each: "models", or the id of the step that lists its items.
    options: arguments of the build, passed by name.
    command: whether the command also runs the step.
    """

    id: str
    does: str
    takes: tuple[str, ...] = (BUILD,)
    gives: str = ""
    each: str = ""
    options: tuple[str, ...] = ()
    command: bool = True

    @property
    def name(self) -> str:
        return self.id.rpartition(".")[2]

    def function(self) -> Callable[..., Any]:
        return function(self.does)


STEPS = (
    Step("prepare.choose_cutoff", "pipelines.run.run:begin", takes=(), gives="BuildRef"),
    Step(
        "prepare.look_for_new_data",
        "pipelines.schedule:look_for_new_data",
        takes=(),
        options=("interval",),
        command=False,
    ),
    Step("prepare.take_snapshot", "pipelines.export.export:take_snapshot", gives="BuildRef", options=("force",)),
    Step("prepare.write_datasets", "pipelines.export.training_files:write_datasets"),
    Step("train", "pipelines.train.train:train", gives="BundleRef", each="models"),
    Step("judge.hold_out", "pipelines.train.holdout:hold_out"),
    Step("judge.fit_ranker", "pipelines.train_ranker.second_stage:train_ranker", gives="BundleRef"),
    Step("judge.evaluate", "pipelines.evaluate.evaluate:evaluate_build", gives="EvaluationRef"),
    Step(
        "judge.choose_bundles",
        "pipelines.evaluate.evaluate:choose_bundles",
        takes=(BUILD, "train", "judge.fit_ranker"),
        gives="BuildRef",
    ),
    Step("score.plan_shards", "pipelines.score.shards:plan_shards", gives="ShardRef", options=("surfaces",)),
    Step(
        "score.score_shard",
        "pipelines.score.shards:score_shard",
        takes=(),
        gives="ScoredShard",
        each="score.plan_shards",
    ),
    Step(
        "release.assemble",
        "pipelines.publish.assemble:assemble_release",
        takes=(BUILD, "score.score_shard"),
        gives="ReleaseRef",
        options=("surfaces",),
    ),
    Step(
        "release.weigh",
        "pipelines.gate.gate:compare_with_live",
        takes=(BUILD, "release.assemble"),
        gives="GateRef",
        options=("kind",),
    ),
    Step(
        "release.write_report",
        "pipelines.report.store:write_report",
        takes=(BUILD, "release.weigh"),
        gives="ReportRef",
        options=("publish",),
    ),
    Step(
        "release.gate",
        "pipelines.gate.decision:pass_unattended",
        takes=(),
        options=("publish", "force"),
    ),
    Step(
        "release.publish",
        "pipelines.gate.decision:publish_weighed",
        takes=("release.weigh",),
        gives="PublishRef",
        options=("publish", "force", "surfaces"),
    ),
)


def place_of(task: str) -> int:
    """Return the position of a task such as "train.als" in the build. Unknown tasks sort last."""
    found = [i for i, s in enumerate(STEPS) if task == s.id or (s.each == "models" and task.startswith(f"{s.id}."))]
    return found[0] if found else len(STEPS)


def step_called(name: str) -> Step:
    """Return the step with this id, with or without its group."""
    return next(step for step in STEPS if name in (step.id, step.name))
