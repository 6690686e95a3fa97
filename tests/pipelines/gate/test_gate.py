"""Gate planted releases: a good one passes, noise and popular lists stop, others need an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.errors import DataError, GateClosed
from models.lists.redis_format import Keys
from models.schema import LIST_KINDS, Similar
from pipelines.gate import gate as weighing
from pipelines.gate.compare import compare_releases, table
from pipelines.gate.decision import GateContext, ask_once, question, read_gate, resolve_gate, why_held_back
from pipelines.gate.gate import compare_with_live
from pipelines.publish.publish import publish_release
from pipelines.redis_client import connect
from pipelines.refs import GateRef, ReleaseRef
from pipelines.run.run import Run, read_decisions
from pipelines.store.artifacts import Artifacts
from tests.pipelines.gate.conftest import FIRST, NEXT, PERSONAL, Nights


def against(gate: dict[str, Any], verdict: str) -> set[str]:
    return {c["name"] for c in gate["checks"] if c["verdict"] == verdict}


def test_a_good_release_goes_and_what_it_was_held_against_is_written_down(nights: Nights) -> None:
    run, found = nights.weighed(NEXT)
    gate = read_gate(run)
    assert found.verdict == "go" and found.champion == nights.live, found
    assert {c["name"] for c in gate["checks"]} >= {"floor", "accuracy", "overlap_at_10", "rbo", "popular_share"}
    assert set(gate["champion_figures"]) == set(gate["lists"]) and 0 < gate["older_days"] < 6
    for figures in gate["champion_figures"].values():
        assert figures["new"] > figures["popular"] and abs(figures["new"] - figures["ndcg"]) < 0.2
    assert not resolve_gate(run, GateContext()) and why_held_back(run, found.release) is None and gate["answer"] is None
    last = read_decisions(nights.settings)[0]
    assert (last["what"], last["verdict"], last["release"]) == ("gate", "go", found.release)
    assert len(json.dumps(found.as_json())) < 5000


def test_models_that_do_not_fit_newer_code_do_not_hold_it_up(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved_on(*given: object) -> None:
        raise KeyError("a feature of last year")

    monkeypatch.setattr(weighing, "with_live", moved_on)
    run, found = nights.weighed(NEXT)
    gate = read_gate(run)
    assert found.verdict == "go" and "a feature of last year" in gate["notes"][0]
    assert {"floor", "rbo"} <= {c["name"] for c in gate["checks"]} and "older_days" not in gate


def test_models_trained_on_noise_are_stopped_by_what_they_foretell(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.spoil(monkeypatch)
    run, found = nights.weighed(NEXT)
    gate = read_gate(run)
    assert found.verdict == "stop" and "accuracy" in against(gate, "stop"), gate["reasons"]
    with pytest.raises(GateClosed, match=r"surely worse by more than 5%.*what is live stays.*compare.*`force`"):
        resolve_gate(run, GateContext())
    assert "nobody has answered" in str(why_held_back(run, found.release))
    with pytest.raises(GateClosed):
        resolve_gate(run, GateContext(backfill=True))
    assert not resolve_gate(run, GateContext(force=True)) and why_held_back(run, found.release) is None
    assert (read_decisions(nights.settings)[0]["by"], read_gate(run)["answer"]["chosen"]) == ("force", "publish")


def test_a_failure_that_gives_all_owners_popular_lists_is_stopped(nights: Nights) -> None:
    run, found = nights.weighed(NEXT, left_out=PERSONAL)
    gate = read_gate(run)
    assert found.verdict == "stop" and against(gate, "stop") >= {"popular_share", "route_distance"}
    shares = gate["lists"]["startups/for-developer"]["popular_share"]
    assert shares[0] < 0.1 and shares[1] == 1.0


def test_another_recipe_is_a_matter_for_a_person(nights: Nights) -> None:
    """Settings changed by accident give other lists that are not surely worse."""
    wide: dict[str, Any] = {
        "gate_overlap_ask": 0.02,
        "gate_overlap_stop": 1.0,
        "gate_rbo_ask": 0.02,
        "gate_rbo_stop": 1.0,
    }
    run, found = nights.weighed(NEXT, seed=7, **wide)
    assert found.verdict == "ask", found
    subject, body = question(read_gate(run), run.settings, "http://localhost/report")
    assert found.release in subject and "of all first ten places are replaced" in body
    assert "| overlap_at_10 |" in body and "12 hours: hold" in body and "(http://localhost/report)" in body
    assert resolve_gate(run, GateContext()) is True and "nobody has answered" in str(why_held_back(run, found.release))
    assert not resolve_gate(run, GateContext(attended=False)) and "chose to hold it" in str(
        why_held_back(run, found.release)
    )
    compare_them(nights, found.release)
    assert (
        not resolve_gate(weighed_again(nights, run, found), GateContext(backfill=True))
        and why_held_back(run, found.release) is None
    )
    assert read_gate(run)["answer"]["by"] == "backfill"


def compare_them(nights: Nights, other: str) -> None:
    artifacts = Artifacts(nights.settings)
    found = compare_releases(nights.settings, artifacts.release(nights.live), artifacts.release(other))
    assert set(found["surfaces"]) == {kind.value for kind in LIST_KINDS}
    assert all(found["surfaces"][kind]["overlap_at_10"] is not None for kind in Similar)
    assert all(f"| {kind.value} |" in table(found) for kind in LIST_KINDS)
    assert found["settings"]["seed"] == [42, 7] and "als_v1" in found["bundles"]
    assert found["gate"] == ["go", "ask"]
    assert "| startups/for-developer |" in table(found) and "seed: 42 to 7" in table(found)
    assert " > " not in table(found)
    same = compare_releases(nights.settings, artifacts.release(other), artifacts.release(other))
    assert same["surfaces"]["startups/for-developer"]["overlap_at_10"] == 1.0 and "same digest" in table(same)


def weighed_again(nights: Nights, run: Run, found: GateRef) -> Run:
    """Repeat the gate after a clear: the earlier answer is gone."""
    compare_with_live(run, run.reference(snapshot=NEXT), ReleaseRef(found.release, "", {}), "backfill")
    assert read_gate(run)["answer"] is None
    return run


def test_an_older_cutoff_and_the_live_release_itself_are_only_described(nights: Nights) -> None:
    run, found = nights.weighed("2024-02-20", left_out=PERSONAL)
    gate = read_gate(run)
    assert found.verdict == "go" and gate["older"] and "stored for comparison" in gate["notes"][-1]
    assert "stored for comparison" in str(why_held_back(run, found.release))  # for any live release at that time
    assert publish_release(nights.settings, found.release).published is False
    run, found = nights.weighed(FIRST)
    assert found.release == nights.live and "it is live already" in read_gate(run)["notes"][-1]
    assert not resolve_gate(run, GateContext())


def test_a_live_release_with_damaged_models_is_evaluated_by_its_lists(nights: Nights) -> None:
    artifacts = Artifacts(nights.settings)
    version = artifacts.release(nights.live).judged["als_v1"]
    factors = artifacts.root / "holdouts" / "als_v1" / version / "als_v1_user_factors.npy"
    factors.write_bytes(factors.read_bytes()[:-1])
    run, found = nights.weighed(NEXT)
    gate = read_gate(run)
    assert found.verdict == "go" and "accuracy" not in {c["name"] for c in gate["checks"]}
    assert "cannot be opened, so it is not evaluated" in " ".join(gate["notes"])


def test_a_redis_that_forgot_what_is_live_does_not_open_the_gate(nights: Nights) -> None:
    """The gate compares with the last published release. Otherwise a bad release could pass as the first."""
    run, found = nights.weighed(NEXT, left_out=PERSONAL)
    connect(nights.settings).delete(Keys(nights.settings.namespace).current)
    again = compare_with_live(run, run.reference(snapshot=NEXT), ReleaseRef(found.release, "", {}))
    assert (again.verdict, again.champion) == ("stop", nights.live)
    assert "has lost its data" in read_gate(run)["notes"][0]
    with pytest.raises(DataError, match="the gate has not checked"):
        why_held_back(run, "another")


def test_a_run_asks_one_question_only(nights: Nights) -> None:
    """Airflow would show the first question again for a later release of a cleared run."""
    run, _ = nights.weighed(NEXT)
    ask_once(run, "Publish A?", "because")
    ask_once(run, "Publish A?", "because")
    with pytest.raises(GateClosed, match="has asked another question before"):
        ask_once(run, "Publish B?", "because")
