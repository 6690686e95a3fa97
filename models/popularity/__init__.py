"""What is popular and what is trending: the end of every chain of fallbacks (A09, R08)."""

from dataclasses import dataclass

from models.setting import Phase, setting
from models.spec import ModelSpec, Source

POPULAR = Source("popular", 5, "popular", ("chosen for its popularity", "chosen for their activity"))


@dataclass(frozen=True)
class PopularityConfig:
    """The table [popularity]."""

    trending_days: float = setting(
        30.0, "only younger events trend", unit="days", low=0.01, phase=Phase.TRAIN, flat="trending_days"
    )
    trending_half_life_days: float = setting(
        7.0, "an event counts half after this", unit="days", low=0.01, phase=Phase.TRAIN, flat="trending_half_life_days"
    )


SPEC = ModelSpec(
    name="popularity",
    bundle="popularity_v1",
    title="What is popular and what is trending: the last resort, and a ranker's feature.",
    arrays="user_popularity, startup_popularity, user_trending, startup_trending (user, startup)",
    rows="0..1",
    fit="models.popularity.fit:fit",
    config=PopularityConfig,
    source=POPULAR,
    required=True,
    cheap=True,
)
