"""Content with those who came since its fit: by the words of their profiles, as a stranger is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.data.newcomers import Newcomers
from models.nouns.bundle import Bundle
from models.scoring.factors import embed


def extend(bundle: Bundle, newcomers: Newcomers) -> Bundle:
    """The bundle with a vector of every newcomer."""
    arrays = dict(bundle.arrays)
    for entity, texts in newcomers.texts.items():
        told, _ = embed([text.split() for text in texts], arrays["tokens"], arrays["token_vectors"])
        arrays[f"{entity}_vectors"] = np.concatenate([arrays[f"{entity}_vectors"], told])
    return replace(bundle, arrays=arrays, maps=newcomers.maps(bundle), version="")
