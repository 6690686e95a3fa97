"""Make the ranking set: candidates and features before the temporal validation split, with outcomes as labels.

The rows of all four surfaces train one network (docs/decisions/0007-network-ranker.md; D11, C41 to C51). The serving
code computes every feature, from models without data after the cut (R03, R04).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from models.als import ALS
from models.data.batch import Owners
from models.ensemble.scorer import learned_features
from models.errors import DataError, FileError, regular
from models.features.table import FEATURES, NEUTRAL_DIVERSITY
from models.mlp_ranker.fit import PairwiseRows
from models.ranker import RankerConfig
from models.recommender.recommend import CHUNK, rank
from models.recommender.surface import SurfaceRecommender
from models.schema import DIVERSITY_FACETS, Entity, Method, Surface
from models.scoring.scorer import min_max
from models.two_tower import TWO_TOWER
from pipelines.train.holdout import Holdout, Outcome

#: Columns of the required file (D11, 003 L56-59). The four features have the order of FEATURES.
COLUMNS = ("user_id", "startup_id", "model_score", "recency_score", "popularity_score", "diversity_score", "label")
FORWARD_CSV, REVERSE_CSV = "ranker_train.csv", "ranker_train_reverse.csv"
_DIVERSITY = FEATURES.index("diversity")
_POPULAR = Method.POPULAR.code


@dataclass(frozen=True, eq=False)
class RankingSet:
    """Sampled candidates of the training owners, ordered by surface and owner.

    surface: (n,) int8 place in Surface. owner, item: (n,) int32 entity rows. features: (n, 4) float32.
    label: (n,) int8. weight: (n,) float32 interaction weight, 0 for negatives.
    blend: (n, 4) float32 inputs of the learned blend, NaN where a member has no score.
    """

    surface: NDArray[np.int8]
    owner: NDArray[np.int32]
    item: NDArray[np.int32]
    features: NDArray[np.float32]
    label: NDArray[np.int8]
    weight: NDArray[np.float32]
    blend: NDArray[np.float32]

    @classmethod
    def concat(cls, parts: Sequence[RankingSet]) -> RankingSet:
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    def of(self, mask: NDArray[np.bool_]) -> RankingSet:
        return RankingSet(**{f.name: getattr(self, f.name)[mask] for f in fields(self)})

    def rows(self) -> PairwiseRows:
        """Return rows for `fit_ranker`. An owner on two surfaces is two groups, because the lists differ."""
        group = self.surface.astype(np.int64) << 32 | self.owner
        return PairwiseRows(self.features, self.label, group)

    def with_seed_features(self) -> RankingSet:
        """Return features of the source documents: the label's weight as model score, and constant diversity.

        (C44, C50; R03, R04)
        """
        features = self.features.copy()
        features[:, FEATURES.index("model_score")] = self.weight
        features[:, _DIVERSITY] = NEUTRAL_DIVERSITY
        return replace(self, features=features)

    def write(self, directory: Path, holdout: Holdout) -> list[Path]:
        """Write `ranker_train.csv` (rows that users own) and `ranker_train_reverse.csv` (startups) (D11)."""
        directory.mkdir(parents=True, exist_ok=True)
        reverse = np.isin(self.surface, [s.code for s in Surface if s.owner is Entity.STARTUP])
        users, startups = holdout.before.owners.ids, holdout.before.items.ids
        written = []
        for name, part in ((FORWARD_CSV, self.of(~reverse)), (REVERSE_CSV, self.of(reverse))):
            user, startup = (part.owner, part.item) if name == FORWARD_CSV else (part.item, part.owner)
            columns = [users[user], startups[startup], *part.features.T.round(6), part.label]
            written.append(_replace(directory / name, pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))))
        return written


def ranking_set(holdout: Holdout, negatives: int | None = None, declined_first: bool | None = None) -> RankingSet:
    """Return every engaged candidate of the training owners and `negatives` others per positive (C43).

    Negatives come from all candidates without engagement. declined_first: prefer those that were viewed without
    engagement (C42), if the platform records views. Settings give the defaults.
    """
    settings = holdout.settings
    each = settings.of(RankerConfig).negatives if negatives is None else negatives
    first = settings.of(RankerConfig).negatives_from == "declined" if declined_first is None else declined_first
    parts = [part for s in Surface for part in _of_surface(holdout, s, each, first)]
    return RankingSet.concat(parts) if parts else _nothing()


def read_rows(paths: Sequence[Path]) -> PairwiseRows:
    """Read ranking sets from CSV. Files named `…_reverse.csv` are grouped by startup, others by user.

    Raises DataError with the file and its problem.
    """
    frames, offset = [], 0
    for path in paths:
        try:
            frame = pd.read_csv(regular(path))
        except (OSError, ValueError, FileError) as error:
            raise DataError(
                f"expected a ranking set in {path}, got: {error}; make one with `python -m pipelines ranking-set`"
            ) from error
        missing = [c for c in COLUMNS if c not in frame]
        if missing:
            raise DataError(f"{path} lacks the columns {', '.join(missing)}; a ranking set has {', '.join(COLUMNS)}")
        owner = "startup_id" if path.name.endswith("_reverse.csv") else "user_id"
        frames.append(frame.assign(group=pd.factorize(frame[owner])[0] + offset))
        offset = int(frames[-1]["group"].max()) + 1 if len(frame) else offset
    table = pd.concat(frames, ignore_index=True)
    try:
        features = table[list(COLUMNS[2:6])].to_numpy(np.float32)
    except ValueError as error:
        raise DataError(f"expected numbers in {', '.join(COLUMNS[2:6])}, got: {error}") from error
    return PairwiseRows(features, table["label"].to_numpy(), table["group"].to_numpy())


def _of_surface(holdout: Holdout, surface: Surface, each: int, declined_first: bool) -> Iterator[RankingSet]:
    recipe = holdout.recipe(surface)
    owners, outcome = holdout.owners(recipe, teaching=True)
    engaged = np.flatnonzero(np.diff(outcome.engaged.indptr))
    owners, outcome = owners.take(engaged), outcome.over(engaged, np.arange(len(recipe.catalogue)))
    for start in range(0, len(owners), CHUNK):
        part = owners.part(start, start + CHUNK)
        rng = np.random.default_rng((holdout.settings.train.seed, surface.code, start))
        yield _of_chunk(recipe, part, outcome.part(start, start + CHUNK), each, declined_first, rng)


def _of_chunk(
    recipe: SurfaceRecommender,
    owners: Owners,
    outcome: Outcome,
    each: int,
    declined_first: bool,
    rng: np.random.Generator,
) -> RankingSet:
    ranking = rank(recipe, owners, recipe.settings.lists.depth)
    found, score = ranking.candidates, ranking.score
    weight = cells(outcome.engaged, found.owner, found.item)
    first = (cells(outcome.declined, found.owner, found.item) > 0) & declined_first
    kept = sampled(found.owner, weight > 0, first, each, rng)
    kept &= (ranking.method != _POPULAR)[found.owner]  # popularity lists skip the ranker
    diversity = base_diversity(recipe, found.indptr, found.item, score)
    item = found.item[kept]
    features = np.stack([score[kept], recipe.item_recency[item], recipe.item_popularity[item], diversity[kept]], axis=1)
    blank = np.full(len(found.item), np.nan, np.float32)
    als, tower = (min_max(found.scores.get(s, blank), found.indptr)[kept] for s in (ALS, TWO_TOWER))
    owner = found.owner[kept]
    blend = learned_features(als, tower, owners.count[owner], recipe.age_days(owners.row)[owner])
    surface = np.full(len(item), recipe.surface.code, np.int8)
    return RankingSet(
        surface,
        owners.row[owner],
        recipe.catalogue[item],
        features.astype(np.float32),
        (weight[kept] > 0).astype(np.int8),
        weight[kept],
        blend,
    )


def base_diversity(
    recipe: SurfaceRecommender, indptr: NDArray[np.int64], item: NDArray[np.int32], score: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (nnz,) float32 diversity of each candidate against those above it in the base order (C50, C51).

    The measure is that of the greedy placement (`place`). It is neutral for the first place and from
    `diversity_places` on.
    """
    length, places = np.diff(indptr), recipe.settings.of(RankerConfig).diversity_places
    owner = np.repeat(np.arange(len(length)), length)
    order = np.lexsort((item, -score, owner))
    position = np.arange(len(item)) - indptr[owner]
    shared = np.zeros(len(item), np.float32)
    for facet in DIVERSITY_FACETS:
        code = recipe.facets[facet][item[order]]
        for place in range(min(places, int(length.max(initial=0)))):
            above = code[np.minimum(indptr[owner] + place, len(code) - 1)]
            shared += (position > place) & (code == above) & (code >= 0)
    compared = (np.clip(position, 1, None) * len(DIVERSITY_FACETS)).astype(np.float32)
    value = np.where((position > 0) & (position < places), 1 - shared / compared, np.float32(NEUTRAL_DIVERSITY))
    diversity = np.empty(len(item), np.float32)
    diversity[order] = value
    return diversity


def sampled(
    owner: NDArray[np.integer[Any]],
    positive: NDArray[np.bool_],
    first: NDArray[np.bool_],
    each: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return (nnz,) bool: all positives, and up to `each` negatives per positive of the owner.

    Those in `first` are preferred.
    """
    wanted = each * np.bincount(owner[positive], minlength=int(owner.max(initial=-1)) + 1)
    order = np.lexsort((rng.random(len(owner)), ~first, positive, owner))  # negatives first
    start = np.searchsorted(owner, owner)  # owners ascend
    place = np.empty(len(owner), np.int64)
    place[order] = np.arange(len(owner))
    return np.asarray(positive | (place - start < wanted[owner]))


def cells(matrix: sparse.csr_matrix, row: NDArray[np.int32], column: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return (n,) float32 values of these cells, 0 where none is stored."""
    if not len(row):
        return np.zeros(0, np.float32)
    return np.asarray(matrix[row, column], np.float32).ravel()


def _replace(path: Path, frame: pd.DataFrame) -> Path:
    aside = path.with_name(f".{path.name}")
    frame.to_csv(aside, index=False, quoting=csv.QUOTE_MINIMAL)
    aside.chmod(0o600)
    return aside.rename(path)


def _nothing() -> RankingSet:
    none, many = np.zeros(0, np.int32), np.zeros((0, len(FEATURES)), np.float32)
    return RankingSet(none.astype(np.int8), none, none, many, none.astype(np.int8), none.astype(np.float32), many)
