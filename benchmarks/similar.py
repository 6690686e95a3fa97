"""Similar lists beside implicit's similar_items on the same data: `python -m benchmarks.similar FOLDER ...`.

FOLDER holds users.csv, startups.csv and interactions.csv (or .csv.gz), such as those of `python -m pipelines sample`.
Models know the events before a cut that leaves the last fifth. A query is an item that an owner met, the answer the
next new item that this owner met after the cut. HR@k: the share of queries whose answer is among the k most similar
items. Nothing is removed from the lists, because the owner is not asked. Startups: owners are users. Developers and
investors: owners are startups. The weights of [similar] were chosen before the cut: `--before` leaves out the last
fifth and asks about the fifth before it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from scipy import sparse

from models.catalogue.catalogue import catalogue_bundle
from models.content import ContentConfig
from models.content.fit import fit_content
from models.data.bundle import Bundle
from models.data.entities import UNKNOWN_TIME, Entities, IdMap
from models.data.interactions import Interactions, leaving
from models.item_neighbours import REVERSE, SPEC, NeighboursConfig
from models.item_neighbours.fit import fit_neighbours
from models.metrics.intervals import paired_difference
from models.schema import FACETS, STARTUPS, USERS, Entity, EventType, Role, Table
from models.settings.settings import Settings
from pipelines.evaluate.similar import DEPTH, Queries, queries

SHARE, FACTORS = 0.2, 64
#: By name: what makes implicit's model. K: the neighbours that ours keep too.
RIVALS: Mapping[str, Callable[[], Any]] = {
    "implicit cosine": lambda: CosineRecommender(K=200, num_threads=1),
    "implicit TF-IDF": lambda: TFIDFRecommender(K=200, num_threads=1),
    "implicit BM25": lambda: BM25Recommender(K=200, num_threads=1),
    f"implicit ALS {FACTORS}": lambda: AlternatingLeastSquares(FACTORS, random_state=42, num_threads=1),
}


@dataclass(frozen=True, eq=False)
class Market:
    """A marketplace with a cut. before: known events. later: all events of entities known at the cut."""

    users: Entities
    startups: Entities
    profiles: Mapping[Entity, Mapping[str, list[str]]]
    before: Interactions
    later: Interactions
    cut_us: int

    @classmethod
    def read(cls, folder: Path, rounds: int = 1) -> Market:
        """Read a folder. rounds: how often the last fifth is left out; the last time it is asked about."""
        tables = {t.name: _table(folder, t.name) for t in (USERS, STARTUPS)}
        events = _table(folder, "interactions")
        at = _us(events["occurred_at"])
        order = np.argsort(at, kind="stable")
        events, at = events.iloc[order].reset_index(drop=True), at[order]
        for _ in range(rounds - 1):
            kept = at < leaving(at, SHARE)
            events, at = events[kept].reset_index(drop=True), at[kept]
        cut_us = leaving(at, SHARE)
        known = {
            t.name: _known(tables[t.name], t, set(events.loc[at < cut_us, t.required[0]]), cut_us)
            for t in (USERS, STARTUPS)
        }
        users, startups = (IdMap.from_ids(known[name].index) for name in ("users", "startups"))
        owner, item = (
            users.rows_of(events["user_id"].to_numpy(str)),
            startups.rows_of(events["startup_id"].to_numpy(str)),
        )
        code = {kind.value: kind.code for kind in EventType}
        kind = events["interaction_type"].map(code).to_numpy().astype(np.int8)
        there = (owner >= 0) & (item >= 0)
        every = Interactions(users, startups, owner[there], item[there], kind[there], at[there])
        before = every.before(cut_us)
        met = known["startups"].index.isin(events.loc[at < cut_us, "startup_id"])
        known["startups"].loc[~met, "stage"] = ""  # the type of the first round would give the future away
        roles = (
            known["users"]["role"].map({role.value: role.code for role in Role}).fillna(-1).to_numpy().astype(np.int8)
        )
        return cls(
            _entities(Entity.USER, users, roles, before.counts()),
            _entities(
                Entity.STARTUP, startups, np.full(len(startups), -1, np.int8), before.transposed().distinct_counts()
            ),
            {Entity.USER: _profiles(known["users"], USERS), Entity.STARTUP: _profiles(known["startups"], STARTUPS)},
            before,
            every,
            cut_us,
        )

    def bundles(self) -> dict[str, Bundle]:
        settings = Settings()
        neighbours = settings.of(NeighboursConfig)
        found = [
            catalogue_bundle(self.users, self.startups, {"as_of_us": self.cut_us}),
            fit_neighbours(SPEC.bundle, self.before, neighbours),
            fit_neighbours(REVERSE.bundle, self.before.transposed(), neighbours, people=False),
            fit_content(
                self.profiles[Entity.USER],
                self.profiles[Entity.STARTUP],
                self.before,
                self.users.ids,
                self.startups.ids,
                settings.of(ContentConfig),
            ),
        ]
        return {bundle.name: bundle for bundle in found}


def _table(folder: Path, name: str) -> pd.DataFrame:
    plain = folder / f"{name}.csv"
    return pd.read_csv(plain if plain.exists() else f"{plain}.gz", dtype=str, keep_default_na=False)


def _us(column: pd.Series) -> NDArray[np.int64]:
    at = pd.to_datetime(column, utc=True, format="ISO8601")
    return np.asarray(at.astype("datetime64[us, UTC]").astype("int64"))


def _known(table: pd.DataFrame, about: Table, met: set[str], cut_us: int) -> pd.DataFrame:
    """Return the rows that exist at the cut, by ascending id: created before it, without a date, or with an event."""
    dated = table["created_at"] != ""
    born = np.full(len(table), UNKNOWN_TIME)
    born[dated] = _us(table.loc[dated, "created_at"])
    there = (born < cut_us) | table[about.required[0]].isin(met)
    return table[there].set_index(about.required[0]).sort_index().copy()


def _profiles(table: pd.DataFrame, about: Table) -> dict[str, list[str]]:
    return {f.name: table[f.name].tolist() for f in about.fields if f.tokens and f.name in table}


def _entities(entity: Entity, ids: IdMap, role: NDArray[np.int8], count: NDArray[np.int32]) -> Entities:
    n = len(ids)
    return Entities(
        entity=entity,
        ids=ids,
        role=role,
        listed=np.ones(n, bool),
        opted_out=np.zeros(n, bool),
        founder=np.full(n, -1, np.int32),
        created_at=np.full(n, UNKNOWN_TIME),
        views=np.zeros(n, np.int64),
        interactions=np.zeros(n, np.int64),
        count=count,
        facets=dict.fromkeys(FACETS, np.full(n, -1, np.int32)),
        labels=dict.fromkeys(FACETS, ()),
    )


def theirs(model: Any, asked: Queries) -> NDArray[np.int64]:
    """Return implicit's similar_items of all asked items, without the item itself and scores of 0."""
    pairs = asked.events.csr(damping="binary").maximum(0).tocsr().astype(np.float32)
    pairs.eliminate_zeros()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)  # implicit converts its own matrix
        model.fit(sparse.csr_matrix(pairs), show_progress=False)
    lists = np.full((len(asked.events.items), DEPTH), -1, np.int64)
    rows = np.unique(asked.item)
    for row, items, scores in zip(rows.tolist(), *model.similar_items(rows, N=DEPTH + 1), strict=True):
        kept = items[(items != row) & (scores != 0)][:DEPTH]
        lists[row, : len(kept)] = kept
    return lists


def table(market: Market) -> list[str]:
    bundles, settings, lines = market.bundles(), Settings(), []
    listed = {Entity.USER: market.users.listed, Entity.STARTUP: market.startups.listed}
    for asked in queries(market.later, market.cut_us, market.users.role, listed):
        if not len(asked.item):
            continue
        demand = asked.demand
        popular = np.argsort(-demand, kind="stable")[:DEPTH]
        found = {"most popular": np.tile(popular, (len(asked.events.items), 1))}
        found |= {name: theirs(make(), asked) for name, make in RIVALS.items()}
        found["common partners alone"] = asked.lists_of(bundles, settings, 1)
        found["content alone"] = asked.lists_of(bundles, settings, 0)
        found["similar lists"] = mine = asked.lists_of(bundles, settings)
        new = float((demand[asked.answer] == 0).mean())
        lines += [
            f"**{asked.name}**: {len(asked.item):,} queries over {int(asked.pool.sum()):,} items; "
            f"{new:.0%} of the answers have no event before the cut.",
            "",
            "| lists | HR@10 | HR@20 | similar lists less these, HR@10 |",
            "|---|---|---|---|",
        ]
        for name, lists in found.items():
            less = paired_difference(asked.hits(mine, 10), asked.hits(lists, 10))
            gain = f"{less['mean']:+.4f} [{less['low']:+.4f}, {less['high']:+.4f}]" if lists is not mine else ""
            means = (f"{asked.hits(lists, k).mean():.4f}" for k in (10, 20))
            lines.append(f"| {name} | {' | '.join(means)} | {gain} |")
        lines.append("")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--before", action="store_true", help="leave out the last fifth, ask about the fifth before it")
    args = parser.parse_args()
    for folder in args.folders:
        print(f"### {folder.name}\n")
        print("\n".join(table(Market.read(folder, 2 if args.before else 1))))


if __name__ == "__main__":
    main()
