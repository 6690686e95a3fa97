"""Content-based: the one tokeniser of profiles, and a factor source that can also embed a stranger's words (A01)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.nouns.owners import Owners
from models.nouns.words import is_unspaced, places, values, words
from models.schema import Source
from models.scorers.factors import FactorScorer
from models.scorers.top_k import Float32Product, Product

#: Compared as a whole value and word by word: a user's interest "games" meets the category "games_video".
TOPICS = {"category": "category", "field": "field", "type": "type", "tags": "tag", "skills": "tag", "interests": "tag"}
#: Compared as a whole value only: the words of a place or of a funding round mean nothing elsewhere.
PLACES = {"location": "location", "stage": "stage"}
#: Read word by word. Names are left out: a person's name must not sway whom they meet.
PROSE = ("headline", "description")

#: A vector no longer than this says nothing: its words cancel out, and what is left is rounding.
NOTHING = 1e-6
_STOP = frozenset(
    re.findall(
        "[a-z]+",
        """a an and are as at be by for from has in into is it its of on or our that the
    their this to we who with you your""",
    )
)


def tokens_of(profile: Mapping[str, str]) -> list[str]:
    """The tokens of one profile: namespaced values ("category:games_video", "location:pittsburgh") and plain words.

    profile: text by column name of users.csv or startups.csv; unknown columns are ignored, blank ones say nothing.
    Tokens hold no white space, ascend and are unique, so that equal profiles have equal tokens in any column order.
    """
    found: set[str] = set()
    for column, space in TOPICS.items():
        for value in values(profile.get(column) or ""):
            found.add(f"{space}:{value.replace(' ', '_')}")
            found.update(w for w in words(value) if _tells(w))
    for column, space in PLACES.items():
        found.update(f"{space}:{place.replace(' ', '_')}" for place in places(profile.get(column) or ""))
    for column in PROSE:
        found.update(w for w in words(profile.get(column) or "") if _tells(w))
    return sorted(found)


def text_of(profile: Mapping[str, str]) -> str:
    """A stranger's profile as it travels in `Owners.text`: its tokens, joined by blanks."""
    return " ".join(tokens_of(profile))


def embed(
    texts: Sequence[Sequence[str]], tokens: np.ndarray, token_vectors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of token lists: the normalised sum of the vectors of their known tokens.

    texts: n lists of tokens. tokens: (t,) ascending unicode array; token_vectors: (t, d) float32, the weight of a
    token (its rarity) included in its length. Returns ((n, d) float32, (n,) bool): a text without a known token, or
    whose vectors cancel out, is not known and has a zero vector.
    """
    flat = np.array([token for text in texts for token in text] or [""])[: sum(map(len, texts))]
    text = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
    place = np.minimum(np.searchsorted(tokens, flat), max(len(tokens) - 1, 0))
    hit = tokens[place] == flat if len(tokens) else np.zeros(len(flat), bool)
    total = np.zeros((len(texts), token_vectors.shape[1]), np.float64)
    np.add.at(total, text[hit], token_vectors[place[hit]])
    norm = np.sqrt((total * total).sum(1))
    known = norm > NOTHING
    return np.where(known[:, None], total / np.maximum(norm, NOTHING)[:, None], 0).astype(np.float32), known


class ContentScorer(FactorScorer):
    """A factor source over the text space that also knows whoever brings words of their own (`Owners.text`).

    tokens: (t,) ascending unicode array; token_vectors: (t, d) float32, of the same space as the other vectors.
    """

    def __init__(
        self,
        source: Source,
        owner_vectors: np.ndarray,
        known: np.ndarray,
        item_vectors: np.ndarray,
        item_known: np.ndarray,
        tokens: np.ndarray,
        token_vectors: np.ndarray,
        make: Callable[[np.ndarray], Product] = Float32Product,
    ) -> None:
        super().__init__(source, owner_vectors, known, item_vectors, item_known, make)
        self._tokens, self._token_vectors = tokens, np.asarray(token_vectors, np.float32)

    def _vectors(self, owners: Owners) -> tuple[np.ndarray, np.ndarray]:
        vectors, known = super()._vectors(owners)
        if owners.text is None:
            return vectors, known
        strange = np.flatnonzero(~known)
        told, understood = embed([self._words(owners.text[i]) for i in strange], self._tokens, self._token_vectors)
        vectors[strange], known[strange] = told, understood
        return vectors, known

    def _words(self, text: str) -> list[str]:
        """The tokens of a stranger's text that are read."""
        return text.split()


def _tells(word: str) -> bool:
    return (len(word) > 1 or is_unspaced(word)) and word not in _STOP
