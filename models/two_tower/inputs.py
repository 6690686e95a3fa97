"""Inputs of the two towers: training pairs, and padded tokens and histories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.entities import Entities
from models.data.interactions import Interactions, faded_csr, last_seen, newest
from models.data.profile_text import Profiles, idf, incidence, token_lists, vocabulary
from models.schema import Role
from models.two_tower.scorer import role_word

#: Most tokens of a profile (the rarest), startups of a history (the newest), and dislikes of a user.
WORDS, HISTORY, DISLIKES = 24, 20, 4
MOST_LATE = 4096
#: With more users no user has an embedding of its own: the sampled pairs would train each of them too rarely, and each
#: step would update the whole table.
MOST_IDS = 250_000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Positive pairs. user, item: (m,) rows. weight: (m,), with mean 1."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def from_interactions(cls, interactions: Interactions, half_life_share: float) -> Pairs:
        """Select every positive cell, weighted by the log of its sum, decayed by `half_life_share`."""
        cells = faded_csr(interactions, half_life_share, "log").tocoo()
        liked = cells.data > 0
        weight = cells.data[liked]
        return cls(
            cells.row[liked].astype(np.int32),
            cells.col[liked].astype(np.int32),
            weight / max(float(weight.mean()) if len(weight) else 1.0, 1e-30),
        )


@dataclass(frozen=True, eq=False)
class Late:
    """Pairs first seen after the early events, of known users and startups. user, item: (m,) rows.

    met: (users, items) bool, every pair of the early events.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    met: sparse.csr_matrix

    @classmethod
    def from_pairs(cls, pairs: Pairs, early: Interactions) -> Late:
        """Select at most MOST_LATE pairs, evenly spread."""
        met = early.pairs()
        known = (met.getnnz(axis=1)[pairs.user] > 0) & (met.getnnz(axis=0)[pairs.item] > 0)
        fresh = np.flatnonzero(known & (np.asarray(met[pairs.user, pairs.item]).ravel() == 0))
        fresh = fresh[np.unique(np.linspace(0, len(fresh) - 1, MOST_LATE).astype(int))] if len(fresh) else fresh
        return cls(pairs.user[fresh], pairs.item[fresh], met)


@dataclass(frozen=True, eq=False)
class TowerInputs:
    """Inputs per user and startup. 0 is padding, so all numbers count from 1.

    user_words, item_words: (n, WORDS) tokens of a vocabulary of `terms` tokens.
    user_id, item_id: (n,) own row, 0 for entities without training pairs. user_id: all 0 with more than MOST_IDS users.
    history: (users, HISTORY) startups, newest first. disliked: (users, DISLIKES) startups.
    user_share, item_share: (n,) log share of the pairs (the logQ of Yi et al. 2019).
    """

    terms: int
    user_words: NDArray[np.int32]
    item_words: NDArray[np.int32]
    user_id: NDArray[np.int32]
    item_id: NDArray[np.int32]
    history: NDArray[np.int32]
    disliked: NDArray[np.int32]
    user_share: NDArray[np.float32]
    item_share: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Words:
    """Profile tokens in one vocabulary. tokens: (t,) ascending. rarity: (t,) their idf.

    people, startups: (n, WORDS) the rarest tokens of each, counted from 1, ties by name; 0 is padding.
    """

    tokens: NDArray[np.str_]
    rarity: NDArray[np.float32]
    people: NDArray[np.int32]
    startups: NDArray[np.int32]


def words_of(users: Entities, user_profiles: Profiles, startup_profiles: Profiles, terms: int) -> Words:
    """Make a vocabulary of at most `terms` tokens. A listed user's role counts as a token."""
    people = token_lists(user_profiles)
    roles = {role.code: [role_word(role)] for role in Role}
    for profile, role, there in zip(people, users.role.tolist(), users.listed.tolist(), strict=True):
        profile.extend(roles.get(role, []) if there else [])
    lists = [*people, *token_lists(startup_profiles)]
    tokens = vocabulary(lists, terms)
    matrix = incidence(lists, tokens)
    rarity = idf(matrix)
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    rarest = np.lexsort((matrix.indices, -rarity[matrix.indices], row))
    words = padded(row[rarest], matrix.indices[rarest], matrix.shape[0], WORDS)
    return Words(tokens, rarity, words[: len(people)], words[len(people) :])


def inputs_of(interactions: Interactions, pairs: Pairs, words: Words) -> TowerInputs:
    """Make the towers' inputs. pairs: `Pairs.from_interactions` of the same events."""
    users, items = len(interactions.owners), len(interactions.items)
    at = last_seen(interactions, pairs.user, pairs.item)
    kept = newest(pairs.user, pairs.item, at, HISTORY)
    kept = kept[np.lexsort((pairs.item[kept], -at[kept], pairs.user[kept]))]
    disliked = interactions.disliked().tocoo()
    per_user = np.bincount(pairs.user, minlength=users)
    per_item = np.bincount(pairs.item, minlength=items)
    return TowerInputs(
        terms=len(words.tokens),
        user_words=words.people,
        item_words=words.startups,
        user_id=np.where((per_user > 0) & (users <= MOST_IDS), np.arange(1, users + 1), 0).astype(np.int32),
        item_id=np.where(per_item > 0, np.arange(1, items + 1), 0).astype(np.int32),
        history=padded(pairs.user[kept], pairs.item[kept], users, HISTORY),
        disliked=padded(disliked.row, disliked.col, users, DISLIKES),
        user_share=_log_share(per_user),
        item_share=_log_share(per_item),
    )


def padded(row: NDArray[np.integer[Any]], value: NDArray[np.int32], rows: int, width: int) -> NDArray[np.int32]:
    """Return (rows, width): the first values of each row, counted from 1, padded with 0. Rows ascend."""
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(rows))[row]
    table = np.zeros((rows, width), np.int32)
    table[row[place < width], place[place < width]] = value[place < width] + 1
    return table


def _log_share(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.asarray(np.log(np.maximum(counts, 1) / max(int(counts.sum()), 1)), np.float32)
