"""Settings that became constants: nobody turned them. Their variables and recorded values are still understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import SettingsError


@dataclass(frozen=True)
class Retired:
    """A former setting. constant: where its value stands now."""

    flat: str
    value: float
    constant: str

    @property
    def variable(self) -> str:
        return f"MATCHBOOK_{self.flat.upper()}"

    def meant(self, given: Any) -> bool:
        """Whether a given value is the constant's."""
        try:
            return float(given) == self.value
        except (TypeError, ValueError):
            return False


RETIRED = (
    Retired("rrf_k", 60, "RRF_K of models/ensemble/scorer.py"),
    Retired("content_min_profiles", 2, "MIN_PROFILES of models/data/profile_text.py"),
    Retired("neighbours_history", 500, "HISTORY of models/item_neighbours/fit.py"),
    Retired("graph_filter_neighbours", 500, "NEIGHBOURS of models/graph_filter/fit.py"),
    Retired("gate_chance", 0.02, "CHANCE of pipelines/gate/checks.py"),
    Retired("count_ttl_s", 300, "COUNT_TTL_S of serving/live/recommender.py"),
    Retired("unknown_ttl_s", 30, "UNKNOWN_TTL_S of serving/live/recommender.py"),
)


def changed_constants(recorded: Mapping[str, Any]) -> list[str]:
    """A line for each setting that was recorded with another value than the constant that it is now."""
    return [
        f"{r.flat}={recorded[r.flat]}, which is a constant now, {r.value:g} ({r.constant})"
        for r in RETIRED
        if r.flat in recorded and not r.meant(recorded[r.flat])
    ]


def check_record(recorded: Mapping[str, Any], what: str) -> None:
    """Whether a build can be repeated as it was recorded. what: names it. Raises SettingsError."""
    if told := changed_constants(recorded):
        raise SettingsError(
            f"{what} was made with {'; '.join(told)}; build with --fresh, which reads the settings anew"
        )
