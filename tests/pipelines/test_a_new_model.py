"""One new folder and one line: the toy model is in a build, its lists, `explain` and the figures of the report."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from models import registry
from models.lists.redis_format import decode_list, encode_lists
from models.lists.release import release_lists
from models.recommender.explain import explain
from models.recommender.surface import open_bundles, open_recommender
from models.schema import Entity, Surface
from pipelines.evaluate.evaluate import choose_bundles
from pipelines.export.snapshot import Snapshot
from pipelines.publish import assemble
from pipelines.publish.assemble import assemble_release
from pipelines.run.run import Run, parse_instant
from pipelines.score.shards import plan_shards, score_shard
from pipelines.store.artifacts import Artifacts
from pipelines.train.contenders import contenders
from pipelines.train.holdout import open_holdout
from pipelines.train.train import train
from tests.newest_first import newest_first
from tests.pipelines.train.market import AS_OF, market, small

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A build of the planted marketplace by its steps, with the toy model."""
    snapshot = market()
    with pytest.MonkeyPatch.context() as patch, newest_first(tmp_path_factory.mktemp("models")) as spec:
        patch.setattr(Snapshot, "open", classmethod(lambda cls, path: snapshot))
        patch.setattr(assemble, "check_erased", lambda run, entities: None)
        settings = small(home=tmp_path_factory.mktemp("home"), ranker="rules", enable_two_tower=False, shards=3)
        run = Run.start(settings, "toy", parse_instant(AS_OF), fresh=True)
        build = run.reference(snapshot=AS_OF)
        build = choose_bundles(run, build, [train(run, build, name) for name in registry.bundles()], [])
        done = [score_shard(run, shard) for shard in plan_shards(run, build)]
        release = assemble_release(run, build, done).release
        yield SimpleNamespace(run=run, spec=spec, snapshot=snapshot, versions=build.bundles, release=release)


def test_it_is_trained_and_stands_in_the_release(built: SimpleNamespace) -> None:
    spec, artifacts = built.spec, Artifacts(built.run.settings)
    manifest = artifacts.release(built.release)
    assert built.versions[spec.bundle] and manifest.bundles[spec.bundle] == built.versions[spec.bundle]
    assert manifest.shares[SURFACE.value]["source"][spec.name] > 0
    assert spec.name not in manifest.shares[Surface.DEVELOPERS_FOR_STARTUP.value]["source"]


def test_lists_that_it_is_in_are_wide_and_all_others_as_ever(built: SimpleNamespace) -> None:
    artifacts, bit = Artifacts(built.run.settings), built.spec.source.bit
    manifest, directory = artifacts.release(built.release), artifacts.root / "releases" / built.release
    for surface in Surface:
        for lists in release_lists(directory, manifest, surface):
            for i, value in enumerate(encode_lists(lists)):
                source = lists.source[lists.row(i)]
                assert value[0] == (2 if (source & bit).any() else 1)
                assert decode_list(value).source.tolist() == source.tolist()
                assert surface.owner is Entity.USER or value[0] == 1


def test_it_is_explained(built: SimpleNamespace) -> None:
    settings = built.run.settings
    recipe = open_recommender(SURFACE, open_bundles(settings.artifacts, built.versions, settings), settings)
    row = recipe.owners.owners_of(SURFACE)[:1]
    told = explain(recipe, recipe.batch(row, built.snapshot.heard), settings.lists.depth)
    assert all(built.spec.name in place["scaled"] for place in told["list"])
    assert any(built.spec.name in place["sources"] for place in told["list"])


def test_the_report_measures_it_alone(built: SimpleNamespace) -> None:
    holdout = open_holdout(built.run, built.snapshot)
    found = contenders(holdout, SURFACE, None, None)
    assert built.spec.name in found
