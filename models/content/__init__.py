"""Content-based model: user and startup profiles in one text space (A01)."""

from dataclasses import dataclass

from models.setting import Phase, setting
from models.spec import ModelSpec, Source

CONTENT_BASED = Source(
    "content_based",
    0,
    "content",
    ("matches your profile", "matches your startup's profile"),
    similar=("has a similar profile", "has a similar profile"),
)


@dataclass(frozen=True)
class ContentConfig:
    """[content]: content-based vectors."""

    dimensions: int = setting(
        96, "length of a content vector", low=2, high=512, phase=Phase.TRAIN, tune=(48, 96, 192, 300)
    )
    terms: int = setting(20_000, "vocabulary: most frequent words and facets", low=2, high=1_000_000, phase=Phase.TRAIN)


SPEC = ModelSpec(
    name="content",
    bundle="content_v1",
    title="Content-based: texts, skills and categories in one vector space, for cold-start owners.",
    arrays="user_vectors, startup_vectors, token_vectors, tokens (user, startup)",
    rows="unit vectors of one text space",
    fit="models.content.fit:fit",
    config=ContentConfig,
    source=CONTENT_BASED,
    scorer="models.content.scorer:open_scorer",
    demand_weighted=True,
    cheap=True,
    extend="models.content.fit:extend",
    command=("train-content", "dimensions", "terms"),
)
