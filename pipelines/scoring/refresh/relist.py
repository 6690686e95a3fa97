"""The lists that are made again: whose owner did something or is new, and whom somebody new is close to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.content import CONTENT_BASED
from models.nouns.bundle import Bundle
from models.nouns.interactions import Interactions
from models.nouns.ranked_lists import RankedLists
from models.recipe import Recipe
from models.recommend import CHUNK
from models.schema import Entity
from pipelines.scoring.accelerate import accelerated
from pipelines.scoring.shards import score_arms


@dataclass(frozen=True, eq=False)
class Again:
    """Whose lists are made again. rows: by kind (n,) int32 entity rows, ascending; events: all before the refresh's
    cutoff, users as owners; text: by kind (n,) str objects, the words of everybody, blank for whom the build knew;
    known: by kind how many rows the refreshed release knows."""

    rows: Mapping[Entity, np.ndarray]
    events: Interactions
    text: Mapping[Entity, np.ndarray]
    known: Mapping[Entity, int]


def lists_again(recipe: Recipe, bundles: Mapping[str, Bundle], again: Again, reach: int) -> tuple[RankedLists, int]:
    """The new lists of a surface, owners ascending, each by its owner's arm as in a build, and how many of them are of
    owners whom only newcomers concern.

    reach: a newcomer enters the list of an owner who did nothing where content places it among the `reach` best; 0:
    nowhere.
    """
    side = recipe.surface.owner
    everybody = recipe.owners.owners_of(recipe.surface)
    mine = np.intersect1d(everybody, again.rows[side]).astype(np.int32)
    rows, reached = mine, 0
    if reach and (recipe.catalogue >= again.known[recipe.surface.item]).any():
        others = _close_to_newcomers(recipe, np.setdiff1d(everybody, mine).astype(np.int32), again, reach)
        rows, reached = np.union1d(mine, others).astype(np.int32), len(others)
    owners = recipe.batch(rows, again.events, again.text[side][rows].tolist())
    events = again.events if side is Entity.USER else again.events.transposed()
    caught_up = recipe.caught_up(owners, events.where(np.isin(events.owner, rows)))
    return score_arms(accelerated(caught_up, len(rows)), bundles, owners), reached


def _close_to_newcomers(recipe: Recipe, rows: np.ndarray, again: Again, reach: int) -> np.ndarray:
    """Those of `rows` for whom somebody new is among the best by content."""
    content = recipe.scorers.get(CONTENT_BASED)
    rows = rows[~recipe.owners.opted_out[rows]]
    if content is None or not len(rows):
        return rows[:0]
    owners, found = recipe.batch(rows, again.events), np.zeros(len(rows), bool)
    new = recipe.catalogue >= again.known[recipe.surface.item]
    for start in range(0, len(rows), CHUNK):
        proposal = content.propose(owners.part(start, start + CHUNK), reach)
        found[start + proposal.owner[new[proposal.item]]] = True
    return rows[found]
