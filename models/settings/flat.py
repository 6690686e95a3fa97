"""Flat reading and changing of settings, `settings.als_factors`, until every caller asks a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from models.settings.declared import DECLARED, Declared
from models.settings.retired import RETIRED
from models.settings.tables import TABLES


def _former(d: Declared, value: Any) -> Any:
    """A value as it was written before: -1 or "" for None, "32/16" for numbers."""
    if value is None:
        return "" if d.kind is str else d.kind(-1)
    return d.written(value)


class Flat:
    """What reads the former names and lets `dataclasses.replace` change them."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    retired: Mapping[str, Any]

    def __init__(self, **given: Any) -> None:
        own = {f.name: f for f in fields(self)}
        is_own = {n: n in own and (n not in TABLES or isinstance(v, TABLES[n])) for n, v in given.items()}
        for name, f in own.items():
            default = {} if name in ("origins", "retired") else f.default
            object.__setattr__(self, name, given[name] if is_own.get(name) else default)
        flat = {n: v for n, v in given.items() if not is_own[n]}
        former = {r.flat: flat.pop(r.flat) for r in RETIRED if r.flat in flat}
        if former:
            object.__setattr__(self, "retired", {**self.retired, **former})
        if flat:
            layered = self.layered(flat, "given")  # type: ignore[attr-defined]
            for name in own:
                object.__setattr__(self, name, getattr(layered, name))

    if TYPE_CHECKING:
        enable_als: bool
        enable_two_tower: bool
        enable_ensemble: bool
        als_model_path: str
        two_tower_model_path: str
        cold_start_threshold: int
        warm_user_threshold: int
        founder_ensemble: bool
        depth: int
        candidate_multiplier: float
        candidate_sources: str
        views_are_seen: bool
        exposure_cap: float
        stage_known: str
        earliest: str
        rejected_share: float
        orphan_share: float
        gate_shrunk: float
        seed: int
        trending_days: float
        trending_half_life_days: float
        content_dimensions: int
        content_terms: int
        als_factors: int
        als_alpha: float
        als_iterations: int
        als_regularization: float
        als_min_interactions: int
        als_damping: str
        als_half_life_share: float
        als_reverse_factors: int
        als_reverse_alpha: float
        als_reverse_iterations: int
        als_reverse_regularization: float
        als_reverse_damping: str
        als_reverse_half_life_share: float
        two_tower_dimensions: int
        two_tower_learning_rate: float
        two_tower_half_life_share: float
        two_tower_epochs: int
        two_tower_batch: int
        two_tower_rows: int
        neighbours: int
        neighbours_half_life_share: float
        neighbours_reverse_half_life_share: float
        graph_filter_min_pairs: float
        graph_filter_rank: int
        graph_filter_weight: float
        graph_filter_exponent: float
        graph_filter_sharpening: float
        blend: str
        blend_profile: str
        ensemble_als_weight: float
        ensemble_two_tower_weight: float
        ranker: str
        ranker_cuts: int
        ranker_candidates: int
        diversity_weight: float
        diversity_places: int
        ranker_epochs: int
        ranker_batch: int
        ranker_learning_rate: float
        ranker_hidden: str
        ranker_negatives: int
        ranker_negatives_from: str
        ranker_min_positives: int
        rule_model_weight: float
        rule_recency_weight: float
        rule_popularity_weight: float
        rule_diversity_weight: float
        recency_days: float
        holdout_share: float
        holdout_owners: int
        shards: int
        gate_default: str
        gate_timeout_hours: float
        gate_loss: float
        gate_gain: float
        gate_min_owners: int
        gate_coverage_ask: float
        gate_coverage_stop: float
        gate_overlap_ask: float
        gate_overlap_stop: float
        gate_rbo_ask: float
        gate_rbo_stop: float
        gate_routes_ask: float
        gate_routes_stop: float
        gate_popular_ask: float
        gate_popular_stop: float
        gate_gini_ask: float
        gate_gini_stop: float
        gate_gone_ask: float
        gate_gone_stop: float
        keep_releases: int
        keep_artifacts: int
        release_ttl_hours: float
        late_hours: float
        retrain_busy: int
        retrain_quiet: int
        retrain_growth: float
        retrain_drift: float
        refresh_reach: int
        refresh_popular_share: float
        stale_hours: float
        live_ttl_s: int
        live_budget_s: float
        live_workers: int
        redis_timeout_s: float
        database_timeout_s: float
        rate_limit: int
        events_waiting_most: int
        events_rate_limit: int
        events_memory_mb: int
        strangers_days: float
        attribution_days: float
        measured_days: float
        airflow_keep_days: float
        rrf_k: int
        content_min_profiles: int
        neighbours_history: int
        graph_filter_neighbours: int
        gate_chance: float
        count_ttl_s: int
        unknown_ttl_s: int
    else:

        def __getattr__(self, name: str) -> Any:
            if name in DECLARED and DECLARED[name].table:
                return _former(DECLARED[name], self.value(name))
            for r in RETIRED:
                if r.flat == name:
                    return self.__dict__.get("retired", {}).get(name, r.value)
            raise AttributeError(name)
