"""The tables of matchbook.toml that belong to no model (models/registry.py); here, because Settings needs all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from models.errors import SettingsError
from models.ranker import NOTHING_FITTED
from models.setting import Idle, Phase, setting
from models.settings.environment import Instant
from models.settings.lists_export import ListsExport
from models.settings.modes import MODES, SETTINGS
from models.similar import SimilarConfig


@dataclass(frozen=True)
class Ranking:
    """[ranking]: what decides how lists are made from the models. A mode wins over the settings that it decides."""

    mode: str = setting(
        SETTINGS,
        "settings: each setting decides for itself; seed: the source documents' recipe as a whole",
        choices=tuple(MODES),
        phase=Phase.SERVE,
    )


@dataclass(frozen=True)
class Routing:
    """Which method makes an owner's list. The source documents' variables are read too."""

    enable_als: bool = setting(True, "use ALS, both directions", phase=Phase.SERVE, flat="enable_als", was="ENABLE_ALS")
    enable_two_tower: bool = setting(
        True, "use the two-tower", phase=Phase.SERVE, flat="enable_two_tower", was="ENABLE_TWO_TOWER"
    )
    enable_ensemble: bool = setting(
        True,
        "blend for hot users",
        phase=Phase.SERVE,
        flat="enable_ensemble",
        was="ENABLE_ENSEMBLE",
        idle=(Idle(where=(("routing.enable_als", (False,)),)), Idle(where=(("routing.enable_two_tower", (False,)),))),
    )
    als_model_path: str = setting(
        "",
        "ALS bundle directory that replaces the release's; empty: none",
        phase=Phase.RANK,
        flat="als_model_path",
        was="ALS_MODEL_PATH",
        idle=(Idle(where=(("routing.enable_als", (False,)),)),),
    )
    two_tower_model_path: str = setting(
        "",
        "two-tower bundle directory that replaces the release's; empty: none",
        phase=Phase.RANK,
        flat="two_tower_model_path",
        was="TWO_TOWER_MODEL_PATH",
        idle=(Idle(where=(("routing.enable_two_tower", (False,)),)),),
    )
    cold_start_threshold: int = setting(
        5,
        "from this count on, ALS",
        unit="interactions",
        low=0,
        phase=Phase.SERVE,
        flat="cold_start_threshold",
        was="COLD_START_THRESHOLD",
    )
    warm_user_threshold: int = setting(
        20,
        "from this count on, the ensemble",
        unit="interactions",
        low=0,
        phase=Phase.SERVE,
        flat="warm_user_threshold",
        was="WARM_USER_THRESHOLD",
    )
    founder_ensemble: bool = setting(
        False,
        "hot startups get the ensemble of reverse ALS and two-tower",
        phase=Phase.SERVE,
        flat="founder_ensemble",
    )


@dataclass(frozen=True)
class Lists:
    """What a list contains."""

    depth: int = setting(
        100, "ranks of a stored list", unit="places", low=1, high=1000, phase=Phase.SERVE, flat="depth"
    )
    candidate_multiplier: float = setting(
        2.0,
        "candidates per source and rank",
        low=1,
        high=10,
        phase=Phase.SERVE,
        flat="candidate_multiplier",
        idle=(Idle(("learned", "stacked")),),
    )
    candidate_sources: str = setting(
        "union",
        "the ranker's candidates: of all sources, or of the route's method",
        choices=("union", "route"),
        phase=Phase.SERVE,
        flat="candidate_sources",
        idle=(Idle(("off",)),),
    )
    views_are_seen: bool = setting(True, "a viewed item counts as seen", phase=Phase.RANK, flat="views_are_seen")
    exposure_cap: float = setting(
        -1.0,
        "limit on the top-ten lists of a batch that may contain one item, as a multiple of its fair share; 0: none, "
        "-1: each build chooses by surface",
        low=-1,
        phase=Phase.SERVE,
        flat="exposure_cap",
    )


@dataclass(frozen=True)
class Export:
    """How platform rows become a snapshot, and what stops a build."""

    stage_known: str = setting(
        "auto",
        "since when a stage is known; first_event: since the startup's first event; auto: decided from the rows",
        choices=("auto", "always", "first_event"),
        phase=Phase.TRAIN,
        flat="stage_known",
    )
    earliest: Instant = setting(
        Instant("1990-01-01"),
        "older events are rejected; older creation and update times count as blank",
        unit="UTC",
        phase=Phase.TRAIN,
        flat="earliest",
    )
    rejected_share: float = setting(
        0.05,
        "a higher share of broken rows stops the run; rows with unknown ids do not count",
        unit="share",
        low=0,
        high=1,
        phase=Phase.DEPLOY,
        flat="rejected_share",
    )
    orphan_share: float = setting(
        0.9,
        "a higher share of platform rows with unknown ids stops the run",
        unit="share",
        low=0,
        high=1,
        phase=Phase.DEPLOY,
        flat="orphan_share",
    )
    missing_share: float = setting(
        0.1,
        "a higher share of rows missing since the last snapshot stops training",
        unit="share",
        low=0,
        high=1,
        phase=Phase.DEPLOY,
        flat="gate_shrunk",
    )


@dataclass(frozen=True)
class Train:
    """All training."""

    seed: int = setting(42, "random seed", low=0, phase=Phase.TRAIN, flat="seed")


@dataclass(frozen=True)
class Holdout:
    """The temporal validation split."""

    share: float = setting(
        0.2, "share of events held out, the newest", unit="share", low=0.01, high=0.9, phase=Phase.RANK
    )
    owners: int = setting(
        4000,
        "owners per surface that train and validate the ranker",
        unit="owners",
        low=2,
        phase=Phase.RANK,
        idle=(NOTHING_FITTED,),
    )


@dataclass(frozen=True)
class Objective:
    """The gain of each event type in NDCG, 0 after a dislike. With too few such pairs, weaker types count too."""

    interest: float = setting(3.5, "gain of interest", low=0, phase=Phase.RANK)
    apply: float = setting(3.0, "gain of an application", low=0, phase=Phase.RANK)
    favorite: float = setting(2.5, "gain of a favorite", low=0, phase=Phase.RANK)
    like: float = setting(2.0, "gain of a like", low=0, phase=Phase.RANK)
    click: float = setting(0.0, "gain of a click", low=0, phase=Phase.RANK)
    view: float = setting(0.0, "gain of a view", low=0, phase=Phase.RANK)


@dataclass(frozen=True)
class Score:
    """Scoring."""

    shards: int = setting(
        0,
        "scoring tasks of a build; 0: chosen by size",
        unit="tasks",
        low=0,
        high=1000,
        phase=Phase.DEPLOY,
        flat="shards",
    )


class Thresholds(NamedTuple):
    """Beyond `ask` a person decides; beyond `stop` a release is stopped."""

    ask: float
    stop: float


@dataclass(frozen=True)
class Gate:
    """The release gate. Beyond `_ask` a person decides; beyond `_stop` the release is stopped.

    Raises SettingsError where a stop lies below its ask.
    """

    enabled: bool = setting(
        True,
        "false: releases are compared with the live one, recorded and always published",
        phase=Phase.DEPLOY,
        flat="gate",
    )
    default: str = setting(
        "hold",
        "what happens to a release in the grey zone without an answer",
        choices=("hold", "publish"),
        phase=Phase.DEPLOY,
    )
    timeout_hours: float = setting(12.0, "time to answer", unit="hours", low=0.001, high=24, phase=Phase.DEPLOY)
    loss: float = setting(0.05, "acceptable loss of NDCG@10", unit="share", low=0, high=1, phase=Phase.DEPLOY)
    gain: float = setting(
        2.0,
        "a certain gain above this asks a person: too good to be true",
        unit="share",
        low=0.01,
        phase=Phase.DEPLOY,
    )
    min_owners: int = setting(50, "groups with fewer owners are not compared", unit="owners", low=2, phase=Phase.DEPLOY)
    # fmt: off
    coverage_ask: float = setting(0.4, "loss of catalogue coverage against the live release", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_COVERAGE")
    coverage_stop: float = setting(0.6, "see coverage_ask", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_COVERAGE")
    overlap_ask: float = setting(0.7, "share of the top ten that is replaced", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_OVERLAP")
    overlap_stop: float = setting(0.95, "see overlap_ask", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_OVERLAP")
    rbo_ask: float = setting(0.7, "1 - rank-biased overlap with the live lists", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_RBO")
    rbo_stop: float = setting(0.95, "see rbo_ask", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_RBO")
    routes_ask: float = setting(0.15, "share of owners by which the mix of routes or methods differs", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_ROUTES")
    routes_stop: float = setting(0.4, "see routes_ask", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_ROUTES")
    popular_ask: float = setting(0.1, "rise in the share of owners with the popular list", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_POPULAR")
    popular_stop: float = setting(0.3, "see popular_ask", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_POPULAR")
    gini_ask: float = setting(0.2, "rise in the Gini index of top-ten exposure", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_GINI")
    gini_stop: float = setting(0.35, "see gini_ask", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_GINI")
    gone_ask: float = setting(0.05, "share of owners who would lose their list", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_GONE")
    gone_stop: float = setting(0.2, "see gone_ask", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_GONE")
    # fmt: on

    def __post_init__(self) -> None:
        for name in LIMITED:
            ask, stop = self.limits(name)
            if ask > stop:
                raise SettingsError(
                    f"[gate] {name}_ask must lie in 0..{name}_stop (MATCHBOOK_GATE_{name.upper()}=ask/stop), got {ask:g} "
                    f"and {stop:g}"
                )

    def limits(self, name: str) -> Thresholds:
        return Thresholds(getattr(self, f"{name}_ask"), getattr(self, f"{name}_stop"))


#: What the gate limits by two numbers.
LIMITED = ("coverage", "overlap", "rbo", "routes", "popular", "gini", "gone")


@dataclass(frozen=True)
class Releases:
    """Retention and age of builds."""

    keep_in_redis: int = setting(
        3,
        "builds in Redis, the live one included",
        unit="builds",
        low=1,
        high=50,
        phase=Phase.DEPLOY,
        flat="keep_releases",
    )
    keep_on_disk: int = setting(
        14,
        "stored builds, snapshots and bundles",
        unit="builds",
        low=3,
        phase=Phase.DEPLOY,
        flat="keep_artifacts",
    )
    ttl_hours: float = setting(
        240.0,
        "expiry of stored lists; longer than several build intervals",
        unit="hours",
        low=1,
        phase=Phase.DEPLOY,
        flat="release_ttl_hours",
    )
    late_hours: float = setting(
        36.0,
        "age of the live lists that raises an alert; 0: never",
        unit="hours",
        low=0,
        phase=Phase.DEPLOY,
        flat="late_hours",
    )


@dataclass(frozen=True)
class Retrain:
    """When a scheduled run builds."""

    when: str = setting(
        "auto",
        "auto: by activity; always: daily",
        choices=("auto", "always"),
        phase=Phase.DEPLOY,
        flat="retrain",
    )
    busy: int = setting(1000, "above this, weekly builds", unit="interactions a week", low=1, phase=Phase.DEPLOY)
    quiet: int = setting(100, "below this, monthly builds", unit="interactions a week", low=0, phase=Phase.DEPLOY)
    growth: float = setting(
        0.2,
        "growth of users or startups since the last build that starts a build at once",
        unit="share",
        low=0.01,
        phase=Phase.DEPLOY,
    )
    drift: float = setting(
        0.1,
        "share of users on another route since the last build that starts a build at once",
        unit="share",
        low=0.01,
        high=1,
        phase=Phase.DEPLOY,
    )


@dataclass(frozen=True)
class Refresh:
    """What a refresh between two builds may change."""

    reach: int = setting(
        10,
        "a new item enters an inactive owner's list if it is among this many best by content; 0: never",
        unit="places",
        low=0,
        high=1000,
        phase=Phase.DEPLOY,
    )
    popular_share: float = setting(
        0.2,
        "a refresh stops if more of its owners would fall back to the popular list",
        unit="share",
        low=0,
        high=1,
        phase=Phase.DEPLOY,
    )


@dataclass(frozen=True)
class Reader:
    """Time-outs and limits of the reader."""

    stale_hours: float = setting(
        36.0,
        "release age, since build or refresh, from which answers say stale",
        unit="hours",
        low=1,
        phase=Phase.DEPLOY,
        flat="stale_hours",
    )
    live_ttl_s: int = setting(
        1800, "lifetime of a list computed live", unit="seconds", low=1, phase=Phase.DEPLOY, flat="live_ttl_s"
    )
    live_budget_s: float = setting(
        0.2, "time-out of a list computed live", unit="seconds", low=0.01, phase=Phase.DEPLOY, flat="live_budget_s"
    )
    live_workers: int = setting(
        2, "live lists computed at once per process", low=1, high=64, phase=Phase.DEPLOY, flat="live_workers"
    )
    redis_timeout_s: float = setting(
        0.25, "time-out of Redis", unit="seconds", low=0.01, phase=Phase.DEPLOY, flat="redis_timeout_s"
    )
    database_timeout_s: float = setting(
        1.0, "time-out of PostgreSQL", unit="seconds", low=0.01, phase=Phase.DEPLOY, flat="database_timeout_s"
    )
    rate_limit: int = setting(
        600_000,
        "limit per client; 0: none",
        unit="requests a minute",
        low=0,
        phase=Phase.DEPLOY,
        flat="rate_limit",
    )


@dataclass(frozen=True)
class Events:
    """Posted events."""

    waiting_most: int = setting(
        200_000,
        "events that may wait for the drain; beyond it, posting is refused",
        unit="events",
        low=1,
        phase=Phase.DEPLOY,
    )
    rate_limit: int = setting(60_000, "limit per client", unit="events a minute", low=200, phase=Phase.DEPLOY)
    memory_mb: int = setting(
        512, "Redis memory per client and day for posted events", unit="MB", low=1, phase=Phase.DEPLOY
    )
    strangers_days: float = setting(
        30.0,
        "retention of events with unknown ids",
        unit="days",
        low=1,
        phase=Phase.DEPLOY,
        flat="strangers_days",
    )


@dataclass(frozen=True)
class Engagement:
    """How engagement with answers is measured."""

    attribution_days: float = setting(
        7.0,
        "attribution window: an event counts for an answer until this long after the impression",
        unit="days",
        low=0.01,
        high=90,
        phase=Phase.DEPLOY,
        flat="attribution_days",
    )
    window_days: float = setting(
        28.0, "reporting window", unit="days", low=1, high=366, phase=Phase.DEPLOY, flat="measured_days"
    )


@dataclass(frozen=True)
class Airflow:
    """Airflow's own records."""

    keep_days: float = setting(
        30.0, "retention of runs, audit log and task logs", unit="days", low=2, phase=Phase.DEPLOY
    )


#: By table of matchbook.toml, in the order of the file. Those of models come after [train].
TABLES: dict[str, type] = {
    "ranking": Ranking,
    "routing": Routing,
    "lists": Lists,
    "similar": SimilarConfig,
    "export": Export,
    "train": Train,
    "holdout": Holdout,
    "objective": Objective,
    "score": Score,
    "gate": Gate,
    "releases": Releases,
    "retrain": Retrain,
    "refresh": Refresh,
    "reader": Reader,
    "events": Events,
    "engagement": Engagement,
    "lists_export": ListsExport,
    "airflow": Airflow,
}
