"""Latent semantic analysis of user and startup profiles in one space (Deerwester et al. 1990; A01).

A profile is a set of tokens (`models.data.profile_text.tokens_of`). A token's weight is ln((1 + n) / (1 + profiles with
the token)) + 1. A profile's vector is the normalised sum of its tokens' vectors, which include the weight. So unseen
owners are embedded by a look-up and a sum.
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
    """Train the bundle content_v1."""
    users, startups = data.users, data.startups
    profiles = data.profiles(users), data.profiles(startups)
    return fit_content(*profiles, data.interactions, users.ids, startups.ids, data.config, data.seed)


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
    """Compute the bundle content_v1. Never raises.

    Arrays: user_vectors, startup_vectors (n, d), of length 1, or zero if unknown; token_vectors (t, d); tokens (t,)
    ascending.
    A startup's vector is that of its profile. A user's vector is the profile's vector plus the mean vector of the
    startups with positive interactions, weighted by log interest. Dislikes are left out: they say little about tokens.
    Without frequent tokens all rows are zero, with a note in the config.
    """
    lists = [*token_lists(users_profiles), *token_lists(startups_profiles)]
    tokens = vocabulary(lists, config.terms, least_profiles)
    matrix = incidence(lists, tokens)
    token_vectors, explained = _token_vectors(matrix, config.dimensions, seed)
    profiles = unit(matrix @ token_vectors)
    people, startups = profiles[: len(users_ids)], profiles[len(users_ids) :]
    people = unit(people + _mean_of_history(interactions, startups))
    about: dict[str, object] = {
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
        about["note"] = f"expected tokens found in {least_profiles} profiles, got none: content matches nobody"
    arrays = {"user_vectors": people, "startup_vectors": startups, "token_vectors": token_vectors, "tokens": tokens}
    return Bundle(SPEC.bundle, about, arrays, {"user": users_ids, "startup": startups_ids})


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1. Rows near zero become zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.where(length > NOTHING, rows / np.maximum(length, NOTHING), 0.0), np.float32)


def _token_vectors(matrix: sparse.csr_matrix, wanted: int, seed: int) -> tuple[NDArray[np.float32], float]:
    """Return (terms, d) token directions scaled by idf, and the share of variance that they explain."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    dimensions = min(wanted, *matrix.shape)
    if dimensions < 2:
        return np.zeros((matrix.shape[1], wanted), np.float32), 0.0
    rarity = idf(matrix)
    weighted = normalize(matrix.multiply(rarity[None, :]).tocsr().astype(np.float32))
    with threadpool_limits(1, "blas"):  # the rounding of a product depends on the number of threads
        svd = TruncatedSVD(dimensions, random_state=seed).fit(weighted)
    components = svd.components_.T
    largest = components[np.abs(components).argmax(axis=0), np.arange(dimensions)]
    signed = components * np.where(largest < 0, -1.0, 1.0)
    return (rarity[:, None] * signed).astype(np.float32), round(float(svd.explained_variance_ratio_.sum()), 4)


def _mean_of_history(interactions: Interactions, startups: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (users, d) mean vector of the startups with positive interactions; zero without any."""
    weight = interactions.csr(damping="log").maximum(0).tocsr()
    known = startups.any(axis=1).astype(np.float32)
    total = np.asarray(weight @ known)
    return np.asarray((weight @ startups) / np.maximum(total, 1e-6)[:, None], np.float32)


def extend(bundle: Bundle, newcomers: Newcomers) -> Bundle:
    """Add the vectors of new entities."""
    arrays = dict(bundle.arrays)
    for entity, texts in newcomers.texts.items():
        new, _ = embed([text.split() for text in texts], arrays["tokens"], arrays["token_vectors"])
        arrays[f"{entity}_vectors"] = np.concatenate([arrays[f"{entity}_vectors"], new])
    return replace(bundle, arrays=arrays, maps=newcomers.maps(bundle), version="")
