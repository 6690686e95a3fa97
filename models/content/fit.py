"""One text space for people and startups: latent semantic analysis of their profiles (Deerwester et al. 1990; A01).

A profile is the set of its tokens (`models.data.profile_text.tokens_of`); a token weighs ln((1 + n) / (1 + profiles
with it)) + 1. The vector of a profile is the normalised sum of its tokens' vectors, which already hold that weight,
so that a stranger's few words are embedded by a look-up and a sum.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.content import SPEC, ContentConfig
from models.data.bundle import Bundle
from models.data.entities import IdMap
from models.data.interactions import Interactions
from models.data.profile_text import MIN_PROFILES, Profiles, idf, incidence, token_lists, vocabulary
from models.data.training_data import Newcomers, TrainingData
from models.scoring.factors import NOTHING, embed


def fit(data: TrainingData[ContentConfig]) -> Bundle:
    """The bundle content_v1."""
    users, startups = data.users, data.startups
    said = data.profiles(users), data.profiles(startups)
    return fit_content(*said, data.interactions, users.ids, startups.ids, data.config, data.seed)


def fit_content(
    users_profiles: Profiles,
    startups_profiles: Profiles,
    interactions: Interactions,
    users_ids: IdMap,
    startups_ids: IdMap,
    config: ContentConfig,
    seed: int = 42,
    least_profiles: int = MIN_PROFILES,
) -> Bundle:
    """The bundle content_v1.

    user_vectors, startup_vectors: (n, d) unit or zero; token_vectors: (t, d); tokens: (t,) ascending.

    A startup is its profile. A person is the profile plus the mean vector of the startups they showed interest in,
    weighted by that interest (log of its sum); dislikes are left out: they bar the startup itself, and one refusal
    says little of its words. A row of zeros = neither a known word nor history: unknown. Knows no failure: where no
    word is shared by enough profiles everybody is unknown and the config says so.
    """
    lists = [*token_lists(users_profiles), *token_lists(startups_profiles)]
    tokens = vocabulary(lists, config.terms, least_profiles)
    matrix = incidence(lists, tokens)
    token_vectors, explained = _token_vectors(matrix, config.dimensions, seed)
    profiles = unit(matrix @ token_vectors)
    people, startups = profiles[: len(users_ids)], profiles[len(users_ids) :]
    people = unit(people + _mean_of_history(interactions, startups))
    told: dict[str, object] = {
        "dimensions": int(token_vectors.shape[1]),
        "terms": len(tokens),
        "content_terms": config.terms,
        "content_min_profiles": least_profiles,
        "seed": seed,
        "rows": len(interactions),
        "profiles": int((np.diff(matrix.indptr) > 0).sum()),
        "explained_variance": explained,
        "known_users": int(people.any(1).sum()),
        "known_startups": int(startups.any(1).sum()),
    }
    if not len(tokens):
        told["note"] = f"no word stands in {least_profiles} profiles: nobody can be matched by content"
    arrays = {"user_vectors": people, "startup_vectors": startups, "token_vectors": token_vectors, "tokens": tokens}
    return Bundle(SPEC.bundle, told, arrays, {"user": users_ids, "startup": startups_ids})


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; what is (nearly) zero stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.where(length > NOTHING, rows / np.maximum(length, NOTHING), 0.0), np.float32)


def _token_vectors(matrix: sparse.csr_matrix, wanted: int, seed: int) -> tuple[NDArray[np.float32], float]:
    """(terms, d) float32 idf-scaled directions of the tokens, and the share of variance that d dimensions keep."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    dimensions = min(wanted, *matrix.shape)
    if dimensions < 2:
        return np.zeros((matrix.shape[1], wanted), np.float32), 0.0
    rarity = idf(matrix)
    weighted = normalize(matrix.multiply(rarity[None, :]).tocsr().astype(np.float32))
    with threadpool_limits(1, "blas"):  # the sum of a product depends on how it was split
        svd = TruncatedSVD(dimensions, random_state=seed).fit(weighted)
    components = svd.components_.T
    largest = components[np.abs(components).argmax(axis=0), np.arange(dimensions)]
    signed = components * np.where(largest < 0, -1.0, 1.0)
    return (rarity[:, None] * signed).astype(np.float32), round(float(svd.explained_variance_ratio_.sum()), 4)


def _mean_of_history(interactions: Interactions, startups: NDArray[np.float32]) -> NDArray[np.float32]:
    """(users, d) float32 mean of the known vectors of the startups each person showed interest in, zero without any."""
    weight = interactions.csr(damping="log").maximum(0).tocsr()
    known = startups.any(axis=1).astype(np.float32)
    total = np.asarray(weight @ known)
    return np.asarray((weight @ startups) / np.maximum(total, 1e-6)[:, None], np.float32)


def extend(bundle: Bundle, newcomers: Newcomers) -> Bundle:
    """The bundle with a vector of every newcomer."""
    arrays = dict(bundle.arrays)
    for entity, texts in newcomers.texts.items():
        told, _ = embed([text.split() for text in texts], arrays["tokens"], arrays["token_vectors"])
        arrays[f"{entity}_vectors"] = np.concatenate([arrays[f"{entity}_vectors"], told])
    return replace(bundle, arrays=arrays, maps=newcomers.maps(bundle), version="")
