"""The tokeniser of profiles, and the vocabulary of a model (A01)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import indptr_of
from models.schema import TABLE_OF
from models.words import is_unspaced, places, values, words

#: By field of either table: how its text becomes tokens.
_TOKENS = {f.name: f.tokens for table in TABLE_OF.values() for f in table.fields if f.tokens}

_STOP = frozenset(
    re.findall(
        "[a-z]+",
        """a an and are as at be by for from has in into is it its of on or our that the
    their this to we who with you your""",
    )
)


def tokens_of(profile: Mapping[str, str]) -> list[str]:
    """Return a profile's tokens: values with a namespace ("category:games_video") and plain words.

    profile: text by column name; unknown columns are ignored. Tokens hold no white space, ascend and are unique.
    """
    found: set[str] = set()
    for name, how in _TOKENS.items():
        text = profile.get(name) or ""
        wholes = (places if how.place else values)(text) if how.space else [text]
        if how.space:
            found.update(f"{how.space}:{whole.replace(' ', '_')}" for whole in wholes)
        if how.words:
            found.update(word for whole in wholes for word in words(whole) if _is_informative(word))
    return sorted(found)


def text_of(profile: Mapping[str, str]) -> str:
    """Join an unseen owner's tokens by blanks, for `Owners.text`."""
    return " ".join(tokens_of(profile))


def _is_informative(word: str) -> bool:
    return (len(word) > 1 or is_unspaced(word)) and word not in _STOP


Profiles = Mapping[str, Sequence[str]]

#: Longer tokens are noise (keys, links) and would widen the stored array.
LONGEST_TOKEN = 64
#: A token of one profile only matches nothing else.
MIN_PROFILES = 2


def token_lists(profiles: Profiles) -> list[list[str]]:
    """Return the tokens of each row of a table of text columns. Equal tokens are one object: rows are many."""
    columns, shared = list(profiles), dict[str, str]()
    return [
        [shared.setdefault(token, token) for token in tokens_of(dict(zip(columns, row, strict=True)))]
        for row in zip(*profiles.values(), strict=True)
    ]


def vocabulary(lists: Sequence[Sequence[str]], most: int, least_profiles: int = MIN_PROFILES) -> NDArray[np.str_]:
    """Return (t,) unicode, ascending: the `most` frequent tokens, ties by name.

    A token counts if at least `least_profiles` profiles have it.
    """
    frequency = Counter(token for tokens in lists for token in tokens if len(token) <= LONGEST_TOKEN)
    common = sorted((-count, token) for token, count in frequency.items() if count >= least_profiles)[:most]
    return np.array(sorted(token for _, token in common), dtype=str)


def incidence(lists: Sequence[Sequence[str]], tokens: NDArray[np.str_]) -> sparse.csr_matrix:
    """Return (lists, tokens) float32: 1 where the list contains the token."""
    place = {token: i for i, token in enumerate(tokens.tolist())}
    indices = np.fromiter((place[t] for tokens_ in lists for t in tokens_ if t in place), np.int32)
    lengths = np.fromiter((sum(t in place for t in tokens_) for tokens_ in lists), np.int64, len(lists))
    matrix = sparse.csr_matrix(
        (np.ones(len(indices), np.float32), indices, indptr_of(lengths)), shape=(len(lists), len(tokens))
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def idf(matrix: sparse.csr_matrix) -> NDArray[np.float32]:
    """Return (terms,) ln((1 + n) / (1 + profiles with the token)) + 1. n: profiles with any token."""
    profiles = int((np.diff(matrix.indptr) > 0).sum())
    return np.asarray(np.log((1 + profiles) / (1 + matrix.getnnz(axis=0))) + 1, np.float32)
