"""Compare figures with `shared/evaluation`, two independent scripts: equal to four digits."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.data.batch import Owners
from models.data.interactions import leaving
from models.metrics.accuracy import places
from models.recommender.recommend import recommend
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Entity, Surface
from pipelines.evaluate.figures import evaluated, groups, item_facts, measured
from pipelines.export.snapshot import Snapshot
from pipelines.train.holdout import outcome_of
from pipelines.train.train import fit
from tests.paths import SHARED
from tests.pipelines.train.market import AS_OF, ids, rows, small

OUTSIDE = SHARED / "evaluation"
ACCURACY = {"precision": "precision@10", "recall": "recall@10", "ndcg": "ndcg@10", "map": "map@10"}
WHOLE = {"coverage": "coverage", "diversity": "ild", "popularity_rank": "pop"}
DIRECTIONS = {"forward": Surface.STARTUPS_FOR_INVESTOR, "reverse": Surface.INVESTORS_FOR_STARTUP}

pytestmark = pytest.mark.skipif(
    not (OUTSIDE / "score.py").is_file(), reason="shared/evaluation does not lie beside the checkout"
)


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Make rows: only investors, late users and startups, blank categories, dislikes, few and many events."""
    users, startups, events = rows(people=300, events=4000, kinds=("view", "like", "dislike", "apply"))
    users = users.assign(role="investor", opted_out_at="")
    users.loc[users.index % 10 == 7, "created_at"] = "2024-02-25"
    rng = np.random.default_rng(3)
    quiet = events.user_id.isin(set(users.user_id[users.index % 3 == 1]))
    events = events[~quiet | (rng.random(len(events)) < 0.25)]
    late = events.user_id.isin(set(users.user_id[users.index % 10 == 7]))
    events = events[~late | (events.occurred_at > "2024-02-25")]
    loud = users.user_id[0]
    more = pd.DataFrame(
        {
            "user_id": loud,
            "startup_id": startups.startup_id[30:60],
            "interaction_type": "like",
            "occurred_at": [f"2024-01-{1 + i:02d}T01:02:03Z" for i in range(30)],
        }
    )
    startups = startups.assign(stage="seed", views="", category=startups.category.where(startups.index % 5 > 0, ""))
    startups.loc[startups.index % 20 == 3, "created_at"] = "2024-02-27"
    return users, startups, pd.concat([events, more]).drop_duplicates().sort_values("occurred_at", kind="stable")


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return Snapshot.from_frames(*tables(), AS_OF, small().recorded())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the split as the independent scripts expect it."""
    home = tmp_path_factory.mktemp("split")
    for name, table in zip(("users", "startups", "interactions"), tables(), strict=True):
        table.to_csv(home / f"{name}.csv", index=False)
    subprocess.run(
        [sys.executable, str(OUTSIDE / "split.py"), str(home), str(home / "out")], check=True, capture_output=True
    )
    return home / "out"


def ours(
    snapshot: Snapshot, surface: Surface
) -> tuple[SurfaceRecommender, Owners, dict[str, np.ndarray], dict[str, Any]]:
    """Make three kinds of lists for all owners with relevant items, and our figures for them."""
    events, settings = snapshot.interactions(), small()
    cut = leaving(np.sort(events.at), 0.2)  # as outside: not moved to the calendar
    names = ("catalogue_v1", "popularity_v1", "content_v1", "item_neighbours_v1", "item_neighbours_reverse_v1")
    recipe = open_recommender(surface, {n: fit(n, snapshot, settings, cut) for n in names}, settings)
    outcome = outcome_of(events, cut)
    outcome = outcome if surface.owner is Entity.USER else outcome.transposed()
    rows = np.flatnonzero(np.diff(outcome.relevant[:, recipe.catalogue].tocsr().indptr)).astype(np.int32)
    owners, outcome = recipe.batch(rows, events.before(cut)), outcome.over(rows, recipe.catalogue)
    stored = recommend(recipe, owners, 20)
    popular = recipe.popular.propose(owners, 10)
    lists = {
        "served": places(stored.indptr, np.searchsorted(recipe.catalogue, stored.item)),
        "popular": places(popular.indptr, popular.item),
        "faulty": faulty(owners, len(recipe.catalogue)),
    }
    items = item_facts(recipe, events.before(cut))
    figures = evaluated(lists, measured(lists, outcome, items), groups(recipe, owners), len(items))
    return recipe, owners, lists, figures


def faulty(owners: Owners, items: int) -> np.ndarray:
    """Return random places: repeated, seen and unknown (-1) items, short and empty lists."""
    rng = np.random.default_rng(5)
    shown = rng.integers(0, items, (len(owners), 10))
    shown[:, 3] = shown[:, 1]
    shown[::2, 5] = -1
    for i, length in enumerate(rng.integers(0, 11, len(owners))):
        shown[i, length:] = -1 if i % 3 else shown[i, length:]
        seen = owners.barred[i].indices
        shown[i, 0] = seen[0] if len(seen) else shown[i, 0]
    return shown


def write(path: Path, shown: np.ndarray, owners: np.ndarray, items: np.ndarray) -> Path:
    lines = []
    for owner, row in zip(owners.tolist(), shown, strict=True):
        last = np.flatnonzero(row >= 0).max(initial=-1)
        lines.append(json.dumps({"owner": owner, "items": [items[i] if i >= 0 else "nobody" for i in row[: last + 1]]}))
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def theirs(folder: Path, direction: str, files: list[Path]) -> dict[tuple[str, str], dict[str, str]]:
    truth = folder / "apart" / ("truth.csv" if direction == "forward" else "truth_reverse.csv")
    out = folder / f"{direction}.csv"
    subprocess.run(
        [
            sys.executable,
            str(OUTSIDE / "score.py"),
            "--train",
            str(folder / "train"),
            "--truth",
            str(truth),
            "--direction",
            direction,
            "--against",
            "served",
            "--csv",
            str(out),
            *map(str, files),
        ],
        check=True,
        capture_output=True,
    )
    with out.open() as f:
        return {(row["lists"], row["segment"]): row for row in csv.DictReader(f)}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_figure_agrees_to_the_fourth_digit(direction: str, snapshot: Snapshot, folder: Path) -> None:
    recipe, owners, lists, figures = ours(snapshot, DIRECTIONS[direction])
    people, items = recipe.owners.ids.ids[owners.row], recipe.items.ids.ids[recipe.catalogue]
    files = [write(folder / direction / f"{name}.jsonl", shown, people, items) for name, shown in lists.items()]
    scored = theirs(folder, direction, files)
    assert {g for _, g in scored} == set(figures["served"])
    if direction == "forward":
        assert set(figures["served"]) == {"overall", "known", "none", "cold", "warm", "hot"}
    for (name, group), row in scored.items():
        mine = figures[name][group]
        assert mine["owners"] == int(row["owners"])
        for metric, column in ACCURACY.items():
            assert mine[metric]["mean"] == pytest.approx(float(row[column]), abs=5e-5), (name, group, metric)
        for metric, column in WHOLE.items():
            expected = float(row[column]) if row[column] else None
            assert mine[metric] == pytest.approx(expected, abs=5e-5), (name, group, metric)
        if mine["owners"] > 1:
            assert mine["ndcg"]["low"] == pytest.approx(float(row["ndcg_low"]), abs=0.01)
            assert mine["ndcg"]["high"] == pytest.approx(float(row["ndcg_high"]), abs=0.01)
        assert mine["against_served"]["mean"] == pytest.approx(float(row["diff"]), abs=5e-5)


def test_the_split_is_ours(snapshot: Snapshot, folder: Path) -> None:
    cut = leaving(np.sort(snapshot.interactions().at), 0.2)
    assert (folder / "train" / "cutoff.txt").read_text().strip() == pd.Timestamp(cut, unit="us").strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    there = snapshot.entities(Entity.STARTUP, cut)
    listed = set(there.ids.ids[there.listed].tolist())
    assert listed == set(pd.read_csv(folder / "train" / "startups.csv").startup_id)
    assert 100 < len(listed) < len(ids("startup", 150))
