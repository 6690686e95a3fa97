"""Pass references of a build through XCom unchanged, and accept nothing else."""

from __future__ import annotations

import json

import pytest

from models.errors import DataError
from pipelines import refs
from pipelines.refs import (
    BuildRef,
    BundleRef,
    ChangesRef,
    EvaluationRef,
    GateRef,
    PointRef,
    PublishRef,
    Ref,
    RefreshedRef,
    ReleaseRef,
    ReportRef,
    RescoredRef,
    ScoredShard,
    ShardRef,
    TrialRef,
)

KNOWN: list[Ref] = [
    BuildRef("r", "2024-05-01T00:00:00+00:00"),
    BuildRef("r", "2024-05-01", "as_of", True, "s", {"als_v1": "1"}, {"als_v1": "0"}, "x"),
    BundleRef("als_v1", "", note="too little"),
    ShardRef("startups/for-developer", 0, 0, 5, "s", {"als_v1": "1"}),
    ScoredShard("startups/for-developer", 0, 5, "f00", "c0de"),
    ReleaseRef("x", "f00", {"startups/for-developer": 5}),
    GateRef("r", "x", None, "go", ["no check failed"]),
    EvaluationRef("evaluation.html", None, "too few events"),
    ReportRef("report.html", "x", "go", []),
    PublishRef(False, "x", "a dry run", "w", needs_mb=0.5, used_mb=1.0, limit_mb=64.0),
    PublishRef(True, "x", "newest cutoff", "", 5, 812.0, 881.0),
    ChangesRef("no release is live"),
    ChangesRef("", "r", "2024-05-01", "x", {"als_v1": "1"}, {"user": 2}, {"user": 1}, 3),
    RescoredRef(5, 2, "f00"),
    RefreshedRef("y", "x", "f00", {"startups/for-developer": {"lists": 5, "more": 1}}),
    PointRef("s", "als_v1", {"als_alpha": 3.0}, 0),
    TrialRef("als_v1", {"als_alpha": 3.0}, None, 1.0),
]


def test_every_reference_is_tried_here() -> None:
    declared = {c for c in vars(refs).values() if isinstance(c, type) and issubclass(c, Ref) and c is not Ref}
    assert declared == {type(ref) for ref in KNOWN}


@pytest.mark.parametrize("ref", KNOWN)
def test_a_reference_goes_through_json_unchanged(ref: Ref) -> None:
    assert type(ref).from_json(json.loads(json.dumps(ref.as_json()))) == ref


@pytest.mark.parametrize("ref", KNOWN)
def test_unknown_and_missing_keys_are_refused_by_name(ref: Ref) -> None:
    with pytest.raises(DataError, match=r"unknown keys \[shards\].*clear the task"):
        type(ref).from_json({**ref.as_json(), "shards": []})
    first = next(iter(ref.as_json()))
    with pytest.raises(DataError, match=rf"missing \[{first}\]"):
        type(ref).from_json({k: v for k, v in ref.as_json().items() if k != first})


def test_a_manifest_without_caps_is_unchanged() -> None:
    assert set(KNOWN[4].as_json()) == {"surface", "index", "owners", "sha256", "code"}
