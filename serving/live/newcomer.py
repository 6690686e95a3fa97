"""One owner as the recipe sees them, with everything that happened since the cutoff."""

from __future__ import annotations

import numpy as np

from models.data.profile_text import text_of
from models.nouns.id_map import IdMap
from models.nouns.interactions import Interactions, Pairs
from models.nouns.owners import Owners
from models.nouns.ranked_lists import RankedLists
from models.recipe import Recipe
from models.recommend import recommend
from serving.doors.postgres import OwnerRecord


def list_of_one(recipe: Recipe, owner: str, record: OwnerRecord) -> RankedLists:
    """The list of one owner, what they did since the build folded into the models."""
    folded, owners = folded_for(recipe, owner, record)
    return recommend(folded, owners, recipe.settings.lists.depth)


def folded_for(recipe: Recipe, owner: str, record: OwnerRecord) -> tuple[Recipe, Owners]:
    """The recipe and the owner as a batch of one, both with everything that happened since the cutoff."""
    events = _events(recipe, owner, record)
    owners = _batch(recipe, owner, record, events)
    return recipe.folded(owners, events), owners


def _events(recipe: Recipe, owner: str, record: OwnerRecord) -> Interactions:
    """What the owner did with whom or what the release knows, and of whom or what they want to see no more."""
    place = recipe.items.ids.rows_of(record.item)
    there = place >= 0
    gone = recipe.items.ids.rows_of(list(record.dismissed))
    dismissed = Pairs(np.zeros(len(gone), np.int32), gone, np.array(list(record.dismissed.values()), np.int64))
    return Interactions(
        IdMap.of([owner]),
        recipe.items.ids,
        np.zeros(int(there.sum()), np.int32),
        place[there],
        record.kind[there],
        record.at[there],
        dismissed.where(gone >= 0),
    )


def _batch(recipe: Recipe, owner: str, record: OwnerRecord, events: Interactions) -> Owners:
    row = int(recipe.owners.ids.rows_of([owner])[0])
    own = recipe.items.ids.rows_of(record.own)
    barred = events.barred(recipe.settings.lists.views_are_seen).tolil()
    barred[0, own[own >= 0]] = True
    return recipe.stranger(
        record.count(recipe.surface.owner),
        events.csr()[:, recipe.catalogue].tocsr(),
        barred.tocsr()[:, recipe.catalogue].tocsr(),
        text_of(recipe.owners.told(record.profile)),
        record.opted_out,
        row,
        events,
    )
