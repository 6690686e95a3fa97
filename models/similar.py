"""Settings of similar startups and similar people: the table [similar]."""

from dataclasses import dataclass

from models.setting import Phase, setting


@dataclass(frozen=True)
class SimilarConfig:
    """[similar]: similar startups and similar people. The weights' defaults are measured (docs/decisions)."""

    depth: int = setting(30, "places of a stored list", unit="places", low=1, high=200, phase=Phase.RANK)
    content: float = setting(0.3, "weight of content beside common partners", low=0, high=100, phase=Phase.RANK)
    popularity: float = setting(
        0.5,
        "exponent of an item's number of partners, times the cosine of common partners; 0: none",
        low=0,
        high=1,
        phase=Phase.RANK,
    )
