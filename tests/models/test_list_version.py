"""The version of a list changes with everything that can change its order, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import registry
from models.experiments import CHANGEABLE
from models.list_version import ListVersion, version_of
from models.lists.release import Release
from models.routing import models_of
from models.schema import Method, Surface
from models.setting import Phase
from models.settings.declared import DECLARED
from models.settings.modes import MODES, SEED
from models.settings.settings import Settings
from models.spec import Stage

BUNDLES = {spec.bundle: f"20240501T020000Z-{i:08x}" for i, spec in enumerate(registry.MODELS) if spec.bundle}
RANKERS = {0, 1} | {spec.code for spec in registry.staged(Stage.RANKER)}
DEVELOPERS = Surface.STARTUPS_FOR_DEVELOPER


def version(
    surface: Surface = DEVELOPERS,
    method: Method = Method.ENSEMBLE,
    by: str = "learned",
    bundles: dict[str, str] | None = None,
    code: str = "c",
    **settings: Any,
) -> ListVersion:
    code_of = registry.ranker_code(by) if by else 0
    return version_of(surface, method, code_of, bundles or BUNDLES, Settings().layered(settings, "given"), code)


def test_rankers_have_codes_of_their_own() -> None:
    specs = registry.staged(Stage.RANKER)
    assert len({spec.code for spec in specs}) == len(specs) and all(2 <= spec.code < 256 for spec in specs)
    assert {spec.kind: registry.ranker_code(spec.kind) for spec in specs} == {
        "learned": 2,
        "mlp": 3,
        "stacked": 5,
        "rules": 4,
    }
    assert [registry.ranker(spec.code) for spec in specs] == list(specs)
    assert registry.ranker(0) is None and registry.ranker(1) is None


@pytest.mark.parametrize("kind", ["learned", "mlp", "stacked", "rules"])
def test_a_ranker_is_named_with_its_version(kind: str) -> None:
    bundle = next(spec.bundle for spec in registry.staged(Stage.RANKER) if spec.kind == kind)
    found = version(by=kind)
    assert found.ranker == kind and found.ranker_version is not None
    assert not bundle or found.ranker_version == f"{bundle}/{BUNDLES[bundle]}"
    assert f" + {found.ranker_version} + order/" in found.model_version


def test_the_version_of_the_rules_is_that_of_their_weights() -> None:
    plain, weighted, depth = (
        version(by="rules", **changed).ranker_version for changed in ({}, {"rule_model_weight": 0.7}, {"depth": 7})
    )
    assert plain == depth != weighted and str(weighted).startswith("rules/")


@given(
    st.sampled_from(list(Surface)),
    st.sampled_from([method for method in Method if method is not Method.SIMILAR]),
    st.sampled_from(["", "learned", "mlp", "stacked", "rules"]),
)
def test_every_bundle_that_can_order_a_list_changes_its_version(surface: Surface, method: Method, ranker: str) -> None:
    """Bundles of other owners, and of rankers without effect, do not change it."""
    before = version(surface, method, ranker)
    others = {name: version(surface, method, ranker, {**BUNDLES, name: "other"}) for name in BUNDLES}
    changes = {name for name, found in others.items() if found.model_version != before.model_version}
    own = {spec.bundle for spec in models_of(method, surface)}
    assert own <= changes
    assert "popularity_v1" in changes, "what is short is filled with it"
    foreign = {s.bundle for s in registry.MODELS if s.bundle and surface.owner not in s.owners} - own
    idle = {s.bundle for s in registry.staged(Stage.RANKER) if s.bundle and s.kind != ranker}
    assert not changes & (foreign | idle)
    if ranker:
        assert changes == set(BUNDLES) - foreign - idle


def other(name: str) -> Any:
    d, now = DECLARED[name], Settings().value(name)
    if isinstance(now, bool):
        return not now
    if d.rule.choices:
        return next(choice for choice in d.rule.choices if choice != now)
    if isinstance(now, str):
        return ""
    return next(v for v in (now + 1, now / 2) if (d.rule.high is None or v <= d.rule.high) and v != now)


@pytest.mark.parametrize("name", CHANGEABLE)
def test_every_setting_that_an_arm_may_change_changes_the_version(name: str) -> None:
    value = other(name)
    if value == "":
        pytest.skip("any text that is valid is a file's")
    changed = {"blend": "weighted", name: value} if name.startswith("ensemble") else {name: value}
    assert version(**changed).model_version != version(**{k: v for k, v in changed.items() if k != name}).model_version


def test_what_bars_items_changes_the_version() -> None:
    assert version(views_are_seen=False).model_version != version().model_version


@pytest.mark.parametrize("name", [n for n in MODES[SEED] if n in CHANGEABLE])
def test_a_setting_that_the_mode_overrules_changes_nothing(name: str) -> None:
    """Neither the version of the list nor that of the rules changes: the mode sets their weights."""
    assert version(by="rules", ranking_mode=SEED, **{name: other(name)}) == version(by="rules", ranking_mode=SEED)


def test_settings_that_act_elsewhere_change_nothing() -> None:
    elsewhere = [
        n
        for n, d in DECLARED.items()
        if d.rule.phase in (Phase.DEPLOY, Phase.TRAIN) and type(Settings().value(n)) is int
    ]
    assert elsewhere
    for name in elsewhere:
        rule, now = DECLARED[name].rule, Settings().value(name)
        value = now + 1 if rule.high is None or now < rule.high else now - 1
        if not rule.choices:
            assert version(**{name: value}) == version(), name


def test_a_pinned_bundle_replaces_the_releases() -> None:
    found = version(als_model_path="/somewhere/als/20240101T000000Z-aaaaaaaa").model_version
    assert found.startswith("als_v1/pinned:20240101T000000Z-aaaaaaaa + ") and "somewhere" not in found
    assert found.partition("order/")[2] != version().model_version.partition("order/")[2]


def test_code_and_route_count_too() -> None:
    assert version(code="d").model_version != version().model_version
    assert version(method=Method.ALS).model_version != version().model_version
    assert version(by="").ranker is None


def test_the_popular_list_depends_on_popularity_alone() -> None:
    popular = version(method=Method.POPULAR, by="")
    assert version(method=Method.POPULAR, by="", rule_model_weight=0.9, cold_start_threshold=9) == popular
    assert popular.model_version.startswith("popularity_v1/")


def test_each_part_of_a_refreshed_release_knows_what_its_lists_were_made_with() -> None:
    """A copied list keeps its version. A new list has the newest bundles and code."""
    parts = [
        {"bundles": {"als_v1": "a", "content_v1": "a"}, "code_version": "1"},
        {"bundles": {"content_v1": "b"}, "code_version": "2"},
        {"bundles": {}, "code_version": "3"},
    ]
    newest = {"als_v1": "a", "content_v1": "b"}
    built = Release("r", "2024-05-01T02:00:00+00:00", "", "", "", newest, {}, [], {}, code_version="3")
    refreshed = replace(built, parts=parts)
    assert [refreshed.bundles_at(i) for i in range(4)] == [parts[0]["bundles"], newest, newest, newest]
    assert [refreshed.code_at(i) for i in range(4)] == ["1", "2", "3", "3"]
    assert (built.bundles_at(0), built.code_at(0)) == (newest, "3")
    old = replace(built, parts=[{"as_of": ""}, *parts[1:]])
    assert (old.bundles_at(0), old.code_at(0), old.code_at(1)) == (newest, "3", "2")
