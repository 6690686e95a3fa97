"""Users who opted out by the cutoff are in no training or evaluation, as owner or item (R23).

Two marketplaces differ in the events and texts of a quarter of the users. These opted out between the temporal
validation split and the build. So both must give the same training and evaluation.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from models import registry
from models.catalogue.catalogue import CATALOGUE
from models.schema import Entity, Surface
from pipelines.export.snapshot import Snapshot
from pipelines.gate.checks import accuracy
from pipelines.run.run import Run, microseconds, parse_instant
from pipelines.train.contenders import contenders, shown
from pipelines.train.holdout import Holdout, open_holdout
from pipelines.train.leakage import check_leaks
from pipelines.train.single_model import SingleModelSplit
from pipelines.train.train import fit
from pipelines.train_ranker.choose import _asked
from pipelines.train_ranker.mlp_samples import ranking_set
from pipelines.train_ranker.samples import _samples_of
from pipelines.train_ranker.validation_models import ValidationModels
from tests.paths import ROOT
from tests.pipelines.train.market import AS_OF, rows, small

CUT = microseconds(parse_instant("2024-02-17"))
SETTINGS = small(graph_filter_min_pairs=0.0)
MODELS = [
    name for name in registry.bundles() if name != CATALOGUE
]  # the catalogue counts events of all users, for routing
Two = tuple[Holdout, Holdout]


@cache
def market(otherwise: bool) -> Snapshot:
    users, startups, events = rows()
    users.loc[::4, "opted_out_at"] = "2024-02-27"
    out = events.user_id.isin(users.user_id[::4])
    if otherwise:
        events.loc[out, "interaction_type"] = np.where(events.interaction_type[out] == "like", "dislike", "favorite")
        users.loc[::4, "interests"] = "zeppelins"
    assert 0.2 < out.mean() < 0.3
    known = events.drop_duplicates()
    return Snapshot.from_frames(users, startups, known, AS_OF, SETTINGS.recorded(), name=f"m{otherwise:d}")


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    """Use separate stores, so that neither finds results of the other."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        homes = (replace(SETTINGS, home=Path(home)) for home in (one, other))
        runs = [Run.start(settings, "silent", parse_instant(AS_OF), fresh=True) for settings in homes]
        yield open_holdout(runs[0], market(False)), open_holdout(runs[1], market(True))


@pytest.mark.parametrize("name", MODELS)
def test_no_base_model_can_tell(name: str) -> None:
    for before_us in (CUT, None):
        mine, other = (fit(name, market(o), SETTINGS, before_us) for o in (False, True))
        assert mine.digest() == other.digest()


@pytest.mark.parametrize("surface", list(Surface))
def test_nobody_of_them_is_an_owner_or_an_item(two: Two, surface: Surface) -> None:
    silent = np.flatnonzero(market(False).silent)
    holdout = two[0]
    recipe = holdout.recipe(surface)
    lessons, split = (
        _samples_of(holdout, surface, market(False).as_of_us),
        SingleModelSplit.at_share(market(False), SETTINGS, 0.2),
    )
    assert lessons is not None and len(silent)
    if surface.owner is Entity.USER:
        asked = [holdout.owners(recipe, half)[0].row for half in (True, False)]
        for owner in (*asked, lessons.owner, split._asked(recipe, SETTINGS, True)[0]):
            assert len(owner) and not np.isin(owner, silent).any()
    else:
        assert not np.isin(recipe.catalogue, silent).any()
        ranked = ranking_set(holdout)
        assert not np.isin(ranked.item[ranked.surface == surface.code], silent).any()


def test_training_and_evaluation_see_no_difference(two: Two) -> None:
    """Compare samples of both rankers, blend owners, tuning, challengers and the gate."""
    assert two[0].cut_us == two[1].cut_us
    for surface in Surface:
        mine, other = (_samples_of(h, surface, h.snapshot.as_of_us) for h in two)
        assert mine is not None and other is not None
        for column in ("features", "met_us", "owner", "drawn"):
            np.testing.assert_array_equal(getattr(mine, column), getattr(other, column))
        lists = []
        for holdout in two:
            owners, outcome = holdout.owners(holdout.recipe(surface), teaching=False)
            lists.append(
                {
                    **shown(contenders(holdout, surface, None), owners, 1),
                    "truth": outcome.relevant.toarray(),
                    "weight": outcome.engaged.toarray(),
                }
            )
        for name in lists[0]:
            np.testing.assert_array_equal(lists[0][name], lists[1][name], err_msg=name)
    ranked, asked = [ranking_set(h) for h in two], [_asked(h, ranking_set(h)) for h in two]
    np.testing.assert_array_equal(ranked[0].features, ranked[1].features)
    for name in asked[0].ndcg:
        np.testing.assert_array_equal(asked[0].ndcg[name], asked[1].ndcg[name])
    gates = [accuracy(h, ValidationModels(SETTINGS, h.bundles, h.cut_us)) for h in two]
    for surface, found in gates[0].items():
        np.testing.assert_array_equal(found.new, gates[1][surface].new)


def test_tuning_cannot_tell() -> None:
    mine, other = (SingleModelSplit.at_share(market(o), SETTINGS, 0.2) for o in (False, True))
    surface = (Surface.STARTUPS_FOR_INVESTOR, Surface.DEVELOPERS_FOR_STARTUP)
    found = [s.judged(s.fitted("content_v1", SETTINGS), SETTINGS, surface, True)["ndcg"] for s in (mine, other)]
    assert len(found[0]) and np.array_equal(found[0], found[1])


def test_no_leak_check_takes_it_for_a_leak(two: Two) -> None:
    """A later opt-out is the only future fact that is used before the cutoff."""
    assert check_leaks(market(False), SETTINGS, two[0].cut_us, two[0].bundles, MODELS)


def test_training_and_evaluation_read_only_counted_users() -> None:
    """This test finds a new reader of all events: only list making may read them."""
    found: dict[str, int] = {}
    for folder in ("pipelines/train", "pipelines/evaluate"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            calls = len(re.findall(r"\.interactions\(\)", path.read_text()))
            found |= {path.relative_to(ROOT).as_posix(): calls} if calls else {}
    assert found == {}
