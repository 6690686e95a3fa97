"""The tables of matchbook.toml that belong to no model. Those of models stand in their specs (models/registry.py).

They are declared here, not in pipelines or serving: Settings must know them all, and models imports neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from models.errors import SettingsError
from models.ranker import NOTHING_FITTED
from models.setting import Idle, Phase, setting
from models.settings.kinds import Instant
from models.settings.modes import MODES, SETTINGS


@dataclass(frozen=True)
class Ranking:
    """Who decides how lists are made from the models. A mode wins over the single settings that it decides."""

    mode: str = setting(
        SETTINGS,
        "settings: the single settings decide; seed: the recipe of the source documents, whole",
        choices=tuple(MODES),
        phase=Phase.SERVE,
    )


@dataclass(frozen=True)
class Routing:
    """Which way an owner's list is made. These names stand in the source documents: they are read as variables too."""

    enable_als: bool = setting(
        True, "use ALS, both directions (G01)", phase=Phase.SERVE, flat="enable_als", was="ENABLE_ALS"
    )
    enable_two_tower: bool = setting(
        True, "use the two-tower model (G02)", phase=Phase.SERVE, flat="enable_two_tower", was="ENABLE_TWO_TOWER"
    )
    enable_ensemble: bool = setting(
        True,
        "blend for hot users (G03)",
        phase=Phase.SERVE,
        flat="enable_ensemble",
        was="ENABLE_ENSEMBLE",
        idle=(
            Idle(where=(("routing.enable_als", (False,)),)),
            Idle(where=(("routing.enable_two_tower", (False,)),)),
        ),
    )
    als_model_path: str = setting(
        "",
        "pin this ALS bundle directory over the release's (G04, M04); empty: none",
        phase=Phase.RANK,
        flat="als_model_path",
        was="ALS_MODEL_PATH",
        idle=(Idle(where=(("routing.enable_als", (False,)),)),),
    )
    two_tower_model_path: str = setting(
        "",
        "pin this two-tower bundle directory (G05, M04); empty: none",
        phase=Phase.RANK,
        flat="two_tower_model_path",
        was="TWO_TOWER_MODEL_PATH",
        idle=(Idle(where=(("routing.enable_two_tower", (False,)),)),),
    )
    cold_start_threshold: int = setting(
        5,
        "from here on ALS (G08)",
        unit="interactions",
        low=0,
        phase=Phase.SERVE,
        flat="cold_start_threshold",
        was="COLD_START_THRESHOLD",
    )
    warm_user_threshold: int = setting(
        20,
        "from here on the ensemble (G09)",
        unit="interactions",
        low=0,
        phase=Phase.SERVE,
        flat="warm_user_threshold",
        was="WARM_USER_THRESHOLD",
    )
    founder_ensemble: bool = setting(
        False,
        "hot startups get the ensemble of reverse ALS and two-tower (R24)",
        phase=Phase.SERVE,
        flat="founder_ensemble",
    )


@dataclass(frozen=True)
class Lists:
    """What a list holds."""

    depth: int = setting(
        100, "places of a stored list", unit="places", low=1, high=1000, phase=Phase.SERVE, flat="depth"
    )
    candidate_multiplier: float = setting(
        2.0,
        "candidates per source and place (C10, C52)",
        low=1,
        high=10,
        phase=Phase.SERVE,
        flat="candidate_multiplier",
        idle=(Idle(("learned",)),),
    )
    candidate_sources: str = setting(
        "union",
        "whom the ranker may draw on",
        choices=("union", "route"),
        phase=Phase.SERVE,
        flat="candidate_sources",
        idle=(Idle(("off",)),),
    )
    views_are_seen: bool = setting(True, "a viewed pair counts as seen", phase=Phase.RANK, flat="views_are_seen")
    exposure_cap: float = setting(
        0.0,
        "in how many top tens of a batch one item may stand, as a multiple of the mean over its surface's catalogue; "
        "0: no cap",
        low=0,
        phase=Phase.SERVE,
        flat="exposure_cap",
    )


@dataclass(frozen=True)
class Export:
    """How rows of the platform become a snapshot, and when they stop a run."""

    stage_known: str = setting(
        "auto",
        "first_event: blank until a startup's first event (stage is its first round's); auto: as the rows tell",
        choices=("auto", "always", "first_event"),
        phase=Phase.TRAIN,
        flat="stage_known",
    )
    earliest: Instant = setting(
        Instant("1990-01-01"),
        "no event can be older: it is set aside, and an older birth or edit counts as blank",
        unit="UTC",
        phase=Phase.TRAIN,
        flat="earliest",
    )
    rejected_share: float = setting(
        0.05,
        "more broken rows than this stop the run; rows about unknown people or startups are not among them",
        unit="share",
        low=0,
        high=1,
        phase=Phase.DEPLOY,
        flat="rejected_share",
    )
    orphan_share: float = setting(
        0.9,
        "more of the platform's rows about people or startups that it does not know stop the run",
        unit="share",
        low=0,
        high=1,
        phase=Phase.DEPLOY,
        flat="orphan_share",
    )
    missing_share: float = setting(
        0.1,
        "share of an earlier snapshot's rows that may be gone; beyond it nothing is trained",
        unit="share",
        low=0,
        high=1,
        phase=Phase.DEPLOY,
        flat="gate_shrunk",
    )


@dataclass(frozen=True)
class Train:
    """What holds for all training."""

    seed: int = setting(42, "of all randomness", low=0, phase=Phase.TRAIN, flat="seed")


@dataclass(frozen=True)
class Holdout:
    """The events that judge a build."""

    share: float = setting(
        0.2, "last share of events held out (C25)", unit="share", low=0.01, high=0.9, phase=Phase.RANK
    )
    owners: int = setting(
        4000,
        "owners of a surface who teach and judge the ranker",
        unit="owners",
        low=2,
        phase=Phase.RANK,
        idle=(NOTHING_FITTED,),
    )


@dataclass(frozen=True)
class Score:
    """How lists are computed."""

    shards: int = setting(
        8, "scoring tasks of a build", unit="tasks", low=1, high=1000, phase=Phase.DEPLOY, flat="shards"
    )


class Thresholds(NamedTuple):
    """Beyond `ask` a person is asked, beyond `stop` a release is stopped."""

    ask: float
    stop: float


@dataclass(frozen=True)
class Gate:
    """When a release goes live unasked. Of each pair, beyond `_ask` a person is asked, beyond `_stop` it is stopped.

    Raises SettingsError where a stop lies below its ask.
    """

    enabled: bool = setting(
        True,
        "whether a release is weighed against the live one before it goes live; off: it is weighed, written down and "
        "published",
        phase=Phase.DEPLOY,
        flat="gate",
    )
    default: str = setting(
        "hold",
        "what happens to a release in the grey zone when nobody answers",
        choices=("hold", "publish"),
        phase=Phase.DEPLOY,
    )
    timeout_hours: float = setting(
        12.0, "a person has so long to answer", unit="hours", low=0.001, high=24, phase=Phase.DEPLOY
    )
    loss: float = setting(0.05, "share of NDCG@10 that may be lost", unit="share", low=0, high=1, phase=Phase.DEPLOY)
    gain: float = setting(
        2.0,
        "a surely greater gain, as a share of NDCG@10, is too good to go live unasked",
        unit="share",
        low=0.01,
        phase=Phase.DEPLOY,
    )
    min_owners: int = setting(
        50, "fewer owners of a surface or segment tell nothing", unit="owners", low=2, phase=Phase.DEPLOY
    )
    # fmt: off
    coverage_ask: float = setting(0.4, "share of the live coverage that is lost", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_COVERAGE")
    coverage_stop: float = setting(0.6, "the same", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_COVERAGE")
    overlap_ask: float = setting(0.7, "share of everybody's first ten that is replaced", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_OVERLAP")
    overlap_stop: float = setting(0.95, "the same", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_OVERLAP")
    rbo_ask: float = setting(0.7, "1 - rank-biased overlap with the live lists", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_RBO")
    rbo_stop: float = setting(0.95, "the same", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_RBO")
    routes_ask: float = setting(0.15, "share of owners by which the mix of routes or methods differs", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_ROUTES")
    routes_stop: float = setting(0.4, "the same", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_ROUTES")
    popular_ask: float = setting(0.1, "rise of the share of owners who are given the popular list", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_POPULAR")
    popular_stop: float = setting(0.3, "the same", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_POPULAR")
    gini_ask: float = setting(0.2, "rise of the Gini index of exposure in the first ten", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_GINI")
    gini_stop: float = setting(0.35, "the same", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_GINI")
    gone_ask: float = setting(0.05, "share of the owners with a live list who would have none", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_GONE")
    gone_stop: float = setting(0.2, "the same", unit="share", low=0, phase=Phase.DEPLOY, was="MATCHBOOK_GATE_GONE")
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
        """The two limits of one of LIMITED."""
        return Thresholds(getattr(self, f"{name}_ask"), getattr(self, f"{name}_stop"))


#: What the gate limits by two numbers.
LIMITED = ("coverage", "overlap", "rbo", "routes", "popular", "gini", "gone")


@dataclass(frozen=True)
class Releases:
    """How long builds are kept, and when they are old."""

    keep_in_redis: int = setting(
        3,
        "builds kept in Redis, the live one included (M05)",
        unit="builds",
        low=1,
        high=50,
        phase=Phase.DEPLOY,
        flat="keep_releases",
    )
    keep_on_disk: int = setting(
        14,
        "builds, snapshots and bundles kept as files",
        unit="builds",
        low=3,
        phase=Phase.DEPLOY,
        flat="keep_artifacts",
    )
    ttl_hours: float = setting(
        240.0,
        "stored lists expire, several intervals (R01)",
        unit="hours",
        low=1,
        phase=Phase.DEPLOY,
        flat="release_ttl_hours",
    )
    late_hours: float = setting(
        36.0,
        "live lists older than this are told of; 0: never",
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
        "auto: weekly, every two weeks or monthly by activity, at once after a leap (K01-K09); always: every day",
        choices=("auto", "always"),
        phase=Phase.DEPLOY,
        flat="retrain",
    )
    busy: int = setting(
        1000, "more than this: built weekly (K01)", unit="interactions a week", low=1, phase=Phase.DEPLOY
    )
    quiet: int = setting(
        100, "fewer than this: built monthly (K03)", unit="interactions a week", low=0, phase=Phase.DEPLOY
    )
    growth: float = setting(
        0.2,
        "so many more people or startups than at the last build: built at once (K05)",
        unit="share",
        low=0.01,
        phase=Phase.DEPLOY,
    )
    drift: float = setting(
        0.1,
        "share of people who are routed otherwise than at the last build: built at once",
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
        "somebody new may enter the list of an owner who did nothing, where content places them among so many; 0: "
        "nowhere",
        unit="places",
        low=0,
        high=1000,
        phase=Phase.DEPLOY,
    )
    popular_share: float = setting(
        0.2,
        "a refresh that takes more of its owners' own lists away than this stops",
        unit="share",
        low=0,
        high=1,
        phase=Phase.DEPLOY,
    )


@dataclass(frozen=True)
class Reader:
    """The reader's patience and limits."""

    stale_hours: float = setting(
        36.0,
        "answers say stale from this age of the release on, built or refreshed",
        unit="hours",
        low=1,
        phase=Phase.DEPLOY,
        flat="stale_hours",
    )
    live_ttl_s: int = setting(
        1800, "a list computed live is kept (H05)", unit="seconds", low=1, phase=Phase.DEPLOY, flat="live_ttl_s"
    )
    live_budget_s: float = setting(
        0.2, "patience with a list computed live", unit="seconds", low=0.01, phase=Phase.DEPLOY, flat="live_budget_s"
    )
    live_workers: int = setting(
        2, "lists computed live at once by one process", low=1, high=64, phase=Phase.DEPLOY, flat="live_workers"
    )
    redis_timeout_s: float = setting(
        0.25, "patience with Redis", unit="seconds", low=0.01, phase=Phase.DEPLOY, flat="redis_timeout_s"
    )
    database_timeout_s: float = setting(
        1.0, "patience with PostgreSQL", unit="seconds", low=0.01, phase=Phase.DEPLOY, flat="database_timeout_s"
    )
    rate_limit: int = setting(
        600_000,
        "requests of a caller; 0: any number",
        unit="requests a minute",
        low=0,
        phase=Phase.DEPLOY,
        flat="rate_limit",
    )


@dataclass(frozen=True)
class Events:
    """Posted events that wait for the database."""

    waiting_most: int = setting(
        200_000, "that wait for the drain; beyond it no more are taken", unit="events", low=1, phase=Phase.DEPLOY
    )
    rate_limit: int = setting(60_000, "of a caller", unit="events a minute", low=200, phase=Phase.DEPLOY)
    memory_mb: int = setting(
        512, "memory of Redis that a caller's events may claim a day", unit="MB", low=1, phase=Phase.DEPLOY
    )
    strangers_days: float = setting(
        30.0,
        "events of people or startups that the platform does not know are kept so long",
        unit="days",
        low=1,
        phase=Phase.DEPLOY,
        flat="strangers_days",
    )


@dataclass(frozen=True)
class Engagement:
    """How answers are measured by what people do."""

    attribution_days: float = setting(
        7.0,
        "so long after it was shown what somebody does counts for an answer",
        unit="days",
        low=0.01,
        high=90,
        phase=Phase.DEPLOY,
        flat="attribution_days",
    )
    window_days: float = setting(
        28.0,
        "that the figures of answers look back",
        unit="days",
        low=1,
        high=366,
        phase=Phase.DEPLOY,
        flat="measured_days",
    )


@dataclass(frozen=True)
class Airflow:
    """Airflow's own records."""

    keep_days: float = setting(
        30.0,
        "runs, audit log and task logs are kept so long; those of drain_events two days",
        unit="days",
        low=2,
        phase=Phase.DEPLOY,
    )


#: By table of matchbook.toml, in the order of the file; those of models come after [train].
TABLES: dict[str, type] = {
    "ranking": Ranking,
    "routing": Routing,
    "lists": Lists,
    "export": Export,
    "train": Train,
    "holdout": Holdout,
    "score": Score,
    "gate": Gate,
    "releases": Releases,
    "retrain": Retrain,
    "refresh": Refresh,
    "reader": Reader,
    "events": Events,
    "engagement": Engagement,
    "airflow": Airflow,
}
