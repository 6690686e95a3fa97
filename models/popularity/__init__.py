"""Popular and trending items, the end of every fallback chain (A09, R08)."""

from dataclasses import dataclass

from models.setting import Phase, setting
from models.spec import ModelSpec, Source

POPULAR = Source("popular", 5, "popular", ("chosen for its popularity", "chosen for their activity"))


@dataclass(frozen=True)
class PopularityConfig:
    """[popularity]: popular and trending items."""

    half_life_events: float = setting(
        0.2,
        "popular lists: share of all events after which an earlier event counts half; 0: order by popularity alone",
        unit="share",
        low=0,
        high=1,
        phase=Phase.TRAIN,
        flat="popular_half_life_events",
    )
    trending_days: float = setting(
        30.0, "trending counts younger events only", unit="days", low=0.01, phase=Phase.TRAIN, flat="trending_days"
    )
    trending_half_life_days: float = setting(
        7.0, "half-life of a trending event", unit="days", low=0.01, phase=Phase.TRAIN, flat="trending_half_life_days"
    )


SPEC = ModelSpec(
    name="popularity",
    bundle="popularity_v1",
    title="Popular and trending items: the last level of the chain, and a ranker feature.",
    arrays="user_popularity, startup_popularity, user_recent, startup_recent, user_trending, startup_trending "
    "(user, startup)",
    rows="score, 0..1; popular lists are in the order of `recent`",
    fit="models.popularity.fit:fit",
    config=PopularityConfig,
    source=POPULAR,
    required=True,
    cheap=True,
)
