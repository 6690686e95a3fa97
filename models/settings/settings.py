"""The only reader of the environment: one frozen Settings, an unknown MATCHBOOK_ variable is an error (G01-G11)."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from models.errors import FileError, SettingsError
from models.files import regular
from models.settings.kinds import Instant, Limits, Secret, cast

PREFIX = "MATCHBOOK_"
_FORMS = ("protocol", "decode_responses", "encoding", "encoding_errors", "legacy_responses")
_INJECTED = re.compile(
    r"MATCHBOOK(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|"
    r"PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def _env(
    name: str,
    default: Any,
    about: str,
    shapes: bool = False,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A field read from an environment variable; `shapes` marks what changes the lists and is recorded with them."""
    return field(
        default=default,
        metadata={"env": name, "about": about, "shapes": shapes, "choices": choices, "low": low, "high": high},
    )


@dataclass(frozen=True)
class Settings:
    """Every setting with its variable, default and meaning; build with `from_env`, pass it down as a value."""

    # fmt: off
    home: Path = _env("MATCHBOOK_HOME", Path(".matchbook"), "all state: databases, artefacts, logs")
    artifacts_place: str = _env("MATCHBOOK_ARTIFACTS", "", "where snapshots, bundles and releases are stored: a directory that every machine sees, or an fsspec URL such as s3://bucket/matchbook; empty: in MATCHBOOK_HOME")
    artifacts_copy: str = _env("MATCHBOOK_ARTIFACTS_COPY", "", "where this machine keeps its copy of object storage; empty: artifacts in MATCHBOOK_HOME")
    database_url: Secret = _env("DATABASE_URL", Secret(""), "your PostgreSQL; empty: an embedded one is started")
    reader_database_url: Secret = _env("MATCHBOOK_READER_DATABASE_URL", Secret(""), "a read replica for the reader's questions (N06); empty: DATABASE_URL")
    redis_url: Secret = _env("REDIS_URL", Secret(""), "your Redis; empty: an embedded one is started")
    namespace: str = _env("MATCHBOOK_NAMESPACE", "matchbook", "first part of every Redis key")
    reader_host: str = _env("MATCHBOOK_READER_HOST", "127.0.0.1", "address the reader listens on")
    reader_port: int = _env("MATCHBOOK_READER_PORT", 5000, "port of the reader (R10)", low=1, high=65535)
    reader_workers: int = _env("MATCHBOOK_READER_WORKERS", 2, "processes of the reader", low=1, high=64)
    api_keys: str = _env("MATCHBOOK_API_KEYS", "auto", "whether the reader asks for a key; auto: where it listens beyond loopback", choices=("auto", "on", "off"))
    api_keys_path: str = _env("MATCHBOOK_API_KEYS_FILE", "", "the file of API keys, hashed; empty: api-keys.json in MATCHBOOK_HOME")
    airflow_port: int = _env("MATCHBOOK_AIRFLOW_PORT", 8080, "port of the Airflow UI, on 127.0.0.1", low=1, high=65535)
    airflow_database_url: Secret = _env("MATCHBOOK_AIRFLOW_DATABASE_URL", Secret(""), "Airflow's metadata database, where erasing looks too and old rows are deleted; `make up` knows its own; empty elsewhere: left alone")
    airflow_logs: str = _env("MATCHBOOK_AIRFLOW_LOGS", "", "the folder of task logs; empty: airflow/logs in MATCHBOOK_HOME")
    airflow_keep_days: float = _env("MATCHBOOK_AIRFLOW_KEEP_DAYS", 30.0, "runs, audit log and task logs of Airflow are kept so long; those of drain_events two days", low=2)
    executor: str = _env("MATCHBOOK_EXECUTOR", "local", "who runs Airflow's tasks: the scheduler's machine, or Celery workers on any", choices=("local", "celery"))
    log_level: str = _env("MATCHBOOK_LOG_LEVEL", "INFO", "level of the logs", choices=("DEBUG", "INFO", "WARNING", "ERROR"))

    enable_als: bool = _env("ENABLE_ALS", True, "use ALS, both directions (G01)", True)
    enable_two_tower: bool = _env("ENABLE_TWO_TOWER", True, "use the two-tower model (G02)", True)
    enable_ensemble: bool = _env("ENABLE_ENSEMBLE", True, "blend for hot users (G03)", True)
    als_model_path: str = _env("ALS_MODEL_PATH", "", "pin this ALS bundle directory over the release's (G04, M04)", True)
    two_tower_model_path: str = _env("TWO_TOWER_MODEL_PATH", "", "pin this two-tower bundle directory (G05, M04)", True)
    cold_start_threshold: int = _env("COLD_START_THRESHOLD", 5, "from here on ALS (G08)", True, low=0)
    warm_user_threshold: int = _env("WARM_USER_THRESHOLD", 20, "from here on the ensemble (G09)", True, low=0)

    blend: str = _env("MATCHBOOK_BLEND", "auto", "how the ensemble blends (C08, C16-C18); auto: what the inner cut shows to be better than the two weights below", True, ("auto", "weighted", "rrf", "learned", "dynamic"))
    blend_profile: str = _env("MATCHBOOK_BLEND_PROFILE", "", "named weights; empty: the two below (C11-C14)", True, ("", "collaborative", "balanced", "semantic", "equal"))
    ensemble_als_weight: float = _env("ENSEMBLE_ALS_WEIGHT", 0.6, "weight of ALS (G06)", True, low=0, high=1)
    ensemble_two_tower_weight: float = _env("ENSEMBLE_TWO_TOWER_WEIGHT", 0.4, "weight of the two-tower (G07)", True, low=0, high=1)
    founder_ensemble: bool = _env("MATCHBOOK_FOUNDER_ENSEMBLE", False, "hot startups get the ensemble of reverse ALS and two-tower (R24)", True)
    rrf_k: int = _env("MATCHBOOK_RRF_K", 60, "constant of reciprocal rank fusion (C16)", True, low=1)

    depth: int = _env("MATCHBOOK_DEPTH", 100, "places of a stored list", True, low=1, high=1000)
    candidate_multiplier: float = _env("MATCHBOOK_CANDIDATE_MULTIPLIER", 2.0, "candidates per source and place (C10, C52)", True, low=1, high=10)
    candidate_sources: str = _env("MATCHBOOK_CANDIDATE_SOURCES", "union", "whom the ranker may draw on", True, ("union", "route"))
    views_are_seen: bool = _env("MATCHBOOK_VIEWS_ARE_SEEN", True, "a viewed pair counts as seen", True)
    earliest: Instant = _env("MATCHBOOK_EARLIEST", Instant("1990-01-01"), "no event can be older: it is set aside, and an older birth or edit counts as blank", True)
    stage_known: str = _env("MATCHBOOK_STAGE_KNOWN", "auto", "first_event: blank until a startup's first event (stage is its first round's); auto: as the rows tell", True, ("auto", "always", "first_event"))

    ranker: str = _env("MATCHBOOK_RANKER", "auto", "auto: the learned one where it passes, else the network (mlp), else rules", True, ("auto", "learned", "mlp", "rules", "off"))
    ranker_cuts: int = _env("MATCHBOOK_RANKER_CUTS", 6, "earlier cuts that teach the learned ranker, base models refitted before each", True, low=0, high=24)
    ranker_candidates: int = _env("MATCHBOOK_RANKER_CANDIDATES", 100, "candidates a source names for the learned ranker", True, low=10, high=1000)
    diversity_weight: float = _env("MATCHBOOK_DIVERSITY_WEIGHT", 0.0, "learned ranker: likeness to what is placed above costs so much score", True, low=0, high=1)
    rule_model_weight: float = _env("MATCHBOOK_RULE_MODEL_WEIGHT", 0.5, "rule score: model score (C36, G11)", True, low=0)
    rule_recency_weight: float = _env("MATCHBOOK_RULE_RECENCY_WEIGHT", 0.2, "rule score: recency", True, low=0)
    rule_popularity_weight: float = _env("MATCHBOOK_RULE_POPULARITY_WEIGHT", 0.2, "rule score: popularity", True, low=0)
    rule_diversity_weight: float = _env("MATCHBOOK_RULE_DIVERSITY_WEIGHT", 0.1, "rule score: diversity", True, low=0)
    recency_days: float = _env("MATCHBOOK_RECENCY_DAYS", 30.0, "recency = exp(-age / this) (C46)", True, low=0.01)
    diversity_places: int = _env("MATCHBOOK_DIVERSITY_PLACES", 20, "places ranked with diversity", True, low=0, high=100)

    exposure_cap: float = _env("MATCHBOOK_EXPOSURE_CAP", 0.0, "in how many top tens of a batch one item may stand, as a multiple of the mean over its surface's catalogue; 0: no cap", True, low=0)

    als_factors: int = _env("MATCHBOOK_ALS_FACTORS", 128, "(C21)", True, low=1, high=1024)
    als_regularization: float = _env("MATCHBOOK_ALS_REGULARIZATION", 0.01, "(C22)", True, low=0)
    als_iterations: int = _env("MATCHBOOK_ALS_ITERATIONS", 20, "(C23)", True, low=1, high=500)
    als_alpha: float = _env("MATCHBOOK_ALS_ALPHA", 40.0, "(C24)", True, low=0)
    als_min_interactions: int = _env("MATCHBOOK_ALS_MIN_INTERACTIONS", 1, "owners with fewer are left out (C31)", True, low=1)
    als_damping: str = _env("MATCHBOOK_ALS_DAMPING", "none", "how repeated events of a pair add up", True, ("none", "log", "binary"))
    als_half_life_share: float = _env("MATCHBOOK_ALS_HALF_LIFE_SHARE", 0.0, "weights halve over this share of the data's span; 0: never", True, low=0)
    als_reverse_factors: int = _env("MATCHBOOK_ALS_REVERSE_FACTORS", 64, "of reverse ALS; -1: as ALS, here and below", True, low=-1, high=1024)
    als_reverse_regularization: float = _env("MATCHBOOK_ALS_REVERSE_REGULARIZATION", 10.0, "of reverse ALS", True, low=-1)
    als_reverse_iterations: int = _env("MATCHBOOK_ALS_REVERSE_ITERATIONS", -1, "of reverse ALS", True, low=-1, high=500)
    als_reverse_alpha: float = _env("MATCHBOOK_ALS_REVERSE_ALPHA", -1.0, "of reverse ALS", True, low=-1)
    als_reverse_damping: str = _env("MATCHBOOK_ALS_REVERSE_DAMPING", "log", "of reverse ALS; empty: as ALS", True, ("", "none", "log", "binary"))
    als_reverse_half_life_share: float = _env("MATCHBOOK_ALS_REVERSE_HALF_LIFE_SHARE", 0.5, "of reverse ALS", True, low=-1)
    content_dimensions: int = _env("MATCHBOOK_CONTENT_DIMENSIONS", 96, "size of a content vector", True, low=2, high=512)
    content_terms: int = _env("MATCHBOOK_CONTENT_TERMS", 20_000, "words and facets known at most, the most frequent", True, low=2, high=1_000_000)
    content_min_profiles: int = _env("MATCHBOOK_CONTENT_MIN_PROFILES", 2, "a word must stand in this many profiles", True, low=1)
    trending_days: float = _env("MATCHBOOK_TRENDING_DAYS", 30.0, "only younger events trend", True, low=0.01)
    trending_half_life_days: float = _env("MATCHBOOK_TRENDING_HALF_LIFE_DAYS", 7.0, "an event counts half after this", True, low=0.01)
    neighbours: int = _env("MATCHBOOK_NEIGHBOURS", 200, "neighbours kept per item", True, low=1, high=5000)
    neighbours_half_life_share: float = _env("MATCHBOOK_NEIGHBOURS_HALF_LIFE_SHARE", 0.5, "what a neighbour was met by counts half after this share of the data's span; 0: never", True, low=0)
    neighbours_reverse_half_life_share: float = _env("MATCHBOOK_NEIGHBOURS_REVERSE_HALF_LIFE_SHARE", -1.0, "the same among users; -1: as above", True, low=-1)
    neighbours_history: int = _env("MATCHBOOK_NEIGHBOURS_HISTORY", 500, "newest pairs of a history that are compared", True, low=2)
    graph_filter_min_pairs: float = _env("MATCHBOOK_GRAPH_FILTER_MIN_PAIRS", 25.0, "the graph filter is left out where people met fewer startups on average", True, low=0)
    graph_filter_rank: int = _env("MATCHBOOK_GRAPH_FILTER_RANK", 256, "eigenvectors of the graph filter", True, low=1, high=2048)
    graph_filter_exponent: float = _env("MATCHBOOK_GRAPH_FILTER_EXPONENT", 0.4, "power of both sides' counts that a meeting is divided by; 0.5 as GF-CF has it", True, low=0, high=1)
    graph_filter_weight: float = _env("MATCHBOOK_GRAPH_FILTER_WEIGHT", 0.1, "what they weigh beside the two hops", True, low=0)
    graph_filter_sharpening: float = _env("MATCHBOOK_GRAPH_FILTER_SHARPENING", 0.5, "0: none, as GF-CF has it", True, low=0, high=3)
    graph_filter_neighbours: int = _env("MATCHBOOK_GRAPH_FILTER_NEIGHBOURS", 500, "cells kept per item", True, low=1, high=5000)
    two_tower_dimensions: int = _env("MATCHBOOK_TWO_TOWER_DIMENSIONS", 64, "size of a tower's output", True, low=2, high=512)
    two_tower_epochs: int = _env("MATCHBOOK_TWO_TOWER_EPOCHS", 10, "(C32)", True, low=1, high=500)
    two_tower_batch: int = _env("MATCHBOOK_TWO_TOWER_BATCH", 512, "pairs of a training batch, each the others' negative", True, low=2)
    two_tower_rows: int = _env("MATCHBOOK_TWO_TOWER_ROWS", 120_000, "pairs drawn for an epoch at most", True, low=2)
    two_tower_half_life_share: float = _env("MATCHBOOK_TWO_TOWER_HALF_LIFE_SHARE", 0.5, "pairs weigh half after this share of the data's span; 0: never", True, low=0)
    device: str = _env("MATCHBOOK_DEVICE", "cpu", "where the two-tower trains; a GPU repeats its own bytes only", True, ("cpu", "cuda"))
    two_tower_learning_rate: float = _env("MATCHBOOK_TWO_TOWER_LEARNING_RATE", 0.003, "Adam's step", True, low=0)
    ranker_epochs: int = _env("MATCHBOOK_RANKER_EPOCHS", 20, "(C37)", True, low=1, high=500)
    ranker_batch: int = _env("MATCHBOOK_RANKER_BATCH", 128, "(C37)", True, low=1)
    ranker_learning_rate: float = _env("MATCHBOOK_RANKER_LEARNING_RATE", 0.001, "(C37)", True, low=0)
    ranker_hidden: str = _env("MATCHBOOK_RANKER_HIDDEN", "32/16", "widths of the MLP (C33, C40)", True)
    ranker_negatives: int = _env("MATCHBOOK_RANKER_NEGATIVES", 2, "negatives per positive (C43)", True, low=1, high=50)
    ranker_negatives_from: str = _env("MATCHBOOK_RANKER_NEGATIVES_FROM", "candidates", "declined: what was viewed without engaging comes first (C42)", True, ("candidates", "declined"))
    ranker_min_positives: int = _env("MATCHBOOK_RANKER_MIN_POSITIVES", 100, "fewer: the rules rank (C53)", True, low=1)
    holdout_share: float = _env("MATCHBOOK_HOLDOUT_SHARE", 0.2, "last share of events held out (C25)", True, low=0.01, high=0.9)
    holdout_owners: int = _env("MATCHBOOK_HOLDOUT_OWNERS", 4000, "owners of a surface who teach and judge the ranker", True, low=2)
    seed: int = _env("MATCHBOOK_SEED", 42, "of all randomness", True, low=0)
    experiments: str = _env("MATCHBOOK_EXPERIMENTS", "", "JSON file of experiments, whose content is recorded with a build; empty: none (O01, M08)", True)

    shards: int = _env("MATCHBOOK_SHARDS", 8, "scoring tasks of a build", low=1, high=1000)
    threads: int = _env("MATCHBOOK_THREADS", 2, "threads of one scoring task", low=1, high=256)
    train_threads: int = _env("MATCHBOOK_TRAIN_THREADS", 2, "threads of training; pinned, recorded", True, low=1, high=256)
    rejected_share: float = _env("MATCHBOOK_REJECTED_SHARE", 0.05, "more broken rows than this stop the run; rows about unknown people or startups are not among them", low=0, high=1)
    orphan_share: float = _env("MATCHBOOK_ORPHAN_SHARE", 0.9, "more of the platform's rows about people or startups that it does not know stop the run", low=0, high=1)
    gate: str = _env("MATCHBOOK_GATE", "on", "whether a release is weighed against the live one before it goes live; off: it is weighed, written down and published", choices=("on", "off"))
    gate_default: str = _env("MATCHBOOK_GATE_DEFAULT", "hold", "what happens to a release in the grey zone when nobody answers", choices=("hold", "publish"))
    gate_timeout_hours: float = _env("MATCHBOOK_GATE_TIMEOUT_HOURS", 12.0, "a person has so long to answer", low=0.001, high=24)
    gate_loss: float = _env("MATCHBOOK_GATE_LOSS", 0.05, "share of NDCG@10 that may be lost", low=0, high=1)
    gate_gain: float = _env("MATCHBOOK_GATE_GAIN", 2.0, "a surely greater gain, as a share of NDCG@10, is too good to go live unasked", low=0.01)
    gate_chance: float = _env("MATCHBOOK_GATE_CHANCE", 0.02, "chance that luck alone makes any of a night's comparisons of accuracy look sure", low=0.0001, high=0.5)
    gate_min_owners: int = _env("MATCHBOOK_GATE_MIN_OWNERS", 50, "fewer owners of a surface or segment tell nothing", low=2)
    gate_coverage: Limits = _env("MATCHBOOK_GATE_COVERAGE", Limits("0.4/0.6"), "share of the live coverage that is lost: beyond the first a person is asked, beyond the second it is stopped; so for all that follow")
    gate_overlap: Limits = _env("MATCHBOOK_GATE_OVERLAP", Limits("0.7/0.95"), "share of everybody's first ten that is replaced")
    gate_rbo: Limits = _env("MATCHBOOK_GATE_RBO", Limits("0.7/0.95"), "1 - rank-biased overlap with the live lists")
    gate_routes: Limits = _env("MATCHBOOK_GATE_ROUTES", Limits("0.15/0.4"), "share of owners by which the mix of routes or methods differs")
    gate_popular: Limits = _env("MATCHBOOK_GATE_POPULAR", Limits("0.1/0.3"), "rise of the share of owners who are given the popular list")
    gate_gini: Limits = _env("MATCHBOOK_GATE_GINI", Limits("0.2/0.35"), "rise of the Gini index of exposure in the first ten")
    gate_gone: Limits = _env("MATCHBOOK_GATE_GONE", Limits("0.05/0.2"), "share of the owners with a live list who would have none")
    gate_shrunk: float = _env("MATCHBOOK_GATE_SHRUNK", 0.1, "share of an earlier snapshot's rows that may be gone; beyond it nothing is trained", low=0, high=1)
    keep_releases: int = _env("MATCHBOOK_KEEP_RELEASES", 3, "builds kept in Redis, the live one included (M05)", low=1, high=50)
    redis_budget_mb: int = _env("MATCHBOOK_REDIS_BUDGET_MB", 0, "memory that Redis may use; 0: its maxmemory, else 80% of its machine", low=0)
    keep_artifacts: int = _env("MATCHBOOK_KEEP_ARTIFACTS", 14, "builds, snapshots and bundles kept as files", low=3)
    retrain: str = _env("MATCHBOOK_RETRAIN", "auto", "when a scheduled run builds; auto: weekly, every two weeks or monthly by activity, at once after a leap (K01-K09); always: every day", choices=("auto", "always"))
    retrain_busy: int = _env("MATCHBOOK_RETRAIN_BUSY", 1000, "more interactions a week than this: built weekly (K01)", low=1)
    retrain_quiet: int = _env("MATCHBOOK_RETRAIN_QUIET", 100, "fewer interactions a week than this: built monthly (K03)", low=0)
    retrain_growth: float = _env("MATCHBOOK_RETRAIN_GROWTH", 0.2, "so many more people or startups than at the last build: built at once (K05)", low=0.01)
    retrain_drift: float = _env("MATCHBOOK_RETRAIN_DRIFT", 0.1, "share of people who are routed otherwise than at the last build: built at once", low=0.01, high=1)
    refresh_reach: int = _env("MATCHBOOK_REFRESH_REACH", 10, "somebody new may enter the list of an owner who did nothing, where content places them among so many; 0: nowhere", low=0, high=1000)
    refresh_popular_share: float = _env("MATCHBOOK_REFRESH_POPULAR_SHARE", 0.2, "a refresh that takes more of its owners' own lists away than this stops", low=0, high=1)
    release_ttl_hours: float = _env("MATCHBOOK_RELEASE_TTL_HOURS", 240.0, "stored lists expire, several intervals (R01)", low=1)
    late_hours: float = _env("MATCHBOOK_LATE_HOURS", 36.0, "live lists older than this are told of; 0: never", low=0)
    webhook_url: Secret = _env("MATCHBOOK_WEBHOOK_URL", Secret(""), "where failures, late lists and open questions are posted as JSON; empty: logged only")
    stale_hours: float = _env("MATCHBOOK_STALE_HOURS", 36.0, "answers say stale from this age of the release on, built or refreshed", low=1)
    live_ttl_s: int = _env("MATCHBOOK_LIVE_TTL_S", 1800, "a list computed live is kept (H05)", low=1)
    count_ttl_s: int = _env("MATCHBOOK_COUNT_TTL_S", 300, "an interaction count is kept (H03)", low=1)
    unknown_ttl_s: int = _env("MATCHBOOK_UNKNOWN_TTL_S", 30, "an id that the platform does not know is remembered", low=1)
    live_budget_s: float = _env("MATCHBOOK_LIVE_BUDGET_S", 0.2, "the reader's patience with a list computed live", low=0.01)
    live_workers: int = _env("MATCHBOOK_LIVE_WORKERS", 2, "lists computed live at once by one process", low=1, high=64)
    reader_threads: int = _env("MATCHBOOK_READER_THREADS", 4, "threads of one process of the reader", low=1, high=64)
    rate_limit: int = _env("MATCHBOOK_RATE_LIMIT", 600_000, "requests a minute and caller; 0: any number", low=0)
    events_waiting_most: int = _env("MATCHBOOK_EVENTS_WAITING_MOST", 200_000, "posted events that wait for the drain; beyond it no more are taken", low=1)
    events_rate_limit: int = _env("MATCHBOOK_EVENTS_RATE_LIMIT", 60_000, "events a minute and caller", low=200)
    events_memory_mb: int = _env("MATCHBOOK_EVENTS_MEMORY_MB", 512, "memory of Redis that a caller's events may claim a day", low=1)
    strangers_days: float = _env("MATCHBOOK_STRANGERS_DAYS", 30.0, "posted events of people or startups that the platform does not know are kept so long", low=1)
    answer_key: Secret = _env("MATCHBOOK_ANSWER_KEY", Secret(""), "signs the ids of answers, the same for all readers; empty: the file answer-key in MATCHBOOK_HOME, made when it is missing")
    attribution_days: float = _env("MATCHBOOK_ATTRIBUTION_DAYS", 7.0, "so long after it was shown what somebody does counts for an answer", low=0.01, high=90)
    measured_days: float = _env("MATCHBOOK_MEASURED_DAYS", 28.0, "days that the figures of answers look back", low=1, high=366)
    pseudonym_key: Secret = _env("MATCHBOOK_PSEUDONYM_KEY", Secret(""), "hides owners' ids in the access log (L06), the same for all readers; empty: the file pseudonym-key in MATCHBOOK_HOME, made when it is missing")
    redis_timeout_s: float = _env("MATCHBOOK_REDIS_TIMEOUT_S", 0.25, "the reader's patience with Redis", low=0.01)
    database_timeout_s: float = _env("MATCHBOOK_DATABASE_TIMEOUT_S", 1.0, "the reader's patience with PostgreSQL", low=0.01)
    # fmt: on

    given: frozenset[str] = field(
        default=frozenset(),
        repr=False,
        compare=False,
        metadata={"env": "", "about": "names of the fields that the environment set", "shapes": False},
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read and check every variable. Raises SettingsError naming the variable, the value and the rule."""
        given = without_injected(os.environ if environ is None else environ)
        known = {f.metadata["env"]: f for f in fields(cls) if f.metadata["env"]}
        for name in given:
            if name.startswith(PREFIX) and name not in known:
                raise SettingsError(f"{name} is no setting of Matchbook; README.md lists them all (was it misspelt?)")
        values = {f.name: cast(f, given[name]) for name, f in known.items() if given.get(name, "") != ""}
        if values.get("experiments"):
            values["experiments"] = _content(_place("MATCHBOOK_EXPERIMENTS", values["experiments"]))
        settings = cls(**values, given=frozenset(values))
        return replace(settings, home=_place("MATCHBOOK_HOME", settings.home))

    def recorded(self) -> dict[str, Any]:
        """What shapes the lists, as JSON values: stored with a snapshot and reused when its cutoff is built again."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["shapes"]}

    def with_recorded(self, recorded: Mapping[str, Any]) -> Settings:
        """These settings, with everything that shapes the lists as it was recorded."""
        known = {f.name for f in fields(self) if f.metadata["shapes"]}
        return replace(self, **{k: v for k, v in recorded.items() if k in known})

    def free(self, name: str) -> bool:
        """Nobody chose this field: it has its default and the environment is silent, of the forward one too."""
        default = type(self).__dataclass_fields__[name].default
        chosen = name in self.given or getattr(self, name) != default
        return not chosen and ("_reverse" not in name or self.free(name.replace("_reverse", "")))

    def with_tuned(self, tuned: Mapping[str, Any]) -> Settings:
        """These settings, with what tuning found for the fields that nobody chose; unknown names are passed over."""
        known = {f.name for f in fields(self) if f.metadata["shapes"]}
        return replace(self, **{k: v for k, v in tuned.items() if k in known and self.free(k)})

    @property
    def earliest_at(self) -> datetime:
        """The first plausible instant."""
        return Instant(self.earliest).at

    def digest(self) -> str:
        """Eight hex digits over `recorded()`."""
        return hashlib.sha256(json.dumps(self.recorded(), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def artifacts(self) -> Path:
        """The directory of snapshots, bundles and releases: the store itself, or this machine's copy of it."""
        place = self.artifacts_copy if self.artifacts_url else self.artifacts_place.removeprefix("file://")
        return Path(place).expanduser().absolute() if place else self.home / "artifacts"

    @property
    def artifacts_url(self) -> str:
        """The object storage behind the directory of artefacts; empty where that directory is the store."""
        place = self.artifacts_place
        return place if "://" in place and not place.startswith("file://") else ""

    @property
    def api_keys_file(self) -> Path:
        """The file of API keys, see models/nouns/api_keys.py."""
        return Path(self.api_keys_path).expanduser().absolute() if self.api_keys_path else self.home / "api-keys.json"

    @property
    def asks_for_keys(self) -> bool:
        """Whether the reader wants an API key of whoever asks."""
        return self.api_keys == "on" or (self.api_keys == "auto" and not _is_loopback(self.reader_host))

    @property
    def reader_address(self) -> str:
        """Where the reader answers."""
        return f"http://{self.reader_host}:{self.reader_port}"

    @property
    def redis_address(self) -> str:
        """REDIS_URL without the options that change the form of answers: both doors read bytes, in protocol 2."""
        address, _, query = self.redis_url.reveal().partition("?")
        kept = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in _FORMS)
        return f"{address}?{kept}" if kept else address

    @property
    def sqlalchemy_url(self) -> str:
        """DATABASE_URL with the driver spelt out: a bare postgresql:// means another driver to SQLAlchemy 2.1."""
        return _with_driver(self.database_url.reveal())

    @property
    def airflow_sqlalchemy_url(self) -> str:
        """Of Airflow's metadata; empty where it is not known."""
        return _with_driver(self.airflow_database_url.reveal())

    @property
    def airflow_log_folder(self) -> Path:
        """Where the logs of tasks lie."""
        return Path(self.airflow_logs).expanduser().absolute() if self.airflow_logs else self.home / "airflow" / "logs"

    @property
    def reader_sqlalchemy_url(self) -> str:
        """The same of the database that the reader asks: a replica where one is named (N06)."""
        return _with_driver(self.reader_database_url.reveal() or self.database_url.reveal())


def _with_driver(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme.split("+")[0] in ("postgresql", "postgres") else url


def value_of(name: str, text: str) -> Any:
    """The value of a field as text, checked as a variable's is. Raises SettingsError."""
    return cast(Settings.__dataclass_fields__[name], text)


def without_injected(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what Kubernetes or Docker set for a service called matchbook or matchbook-…: its host, ports, addresses."""
    return {
        name: value
        for name, value in environ.items()
        if not _INJECTED.fullmatch(name) and not (name.endswith("_PORT") and _ADDRESS.match(value))
    }


def _place(name: str, given: str | Path) -> Path:
    try:
        return Path(given).expanduser().absolute()
    except (RuntimeError, ValueError) as error:
        raise SettingsError(f"{name} must be a path, got {str(given)[:200]!r}: {error}") from error


def _content(path: Path) -> str:
    """What a JSON file of experiments says, in one spelling; models/recipe/experiments.py knows what it means."""
    try:
        found: list[Any] = json.loads(regular(path).read_bytes())
        if not isinstance(found, list):
            raise ValueError(f"it holds no list but {type(found).__name__}")
    except (FileError, OSError, ValueError) as error:
        raise SettingsError(
            f"MATCHBOOK_EXPERIMENTS must name a JSON list as docs/experiments.md has it, {str(path)[:200]!r} is none: "
            f"{str(error)[:300]}"
        ) from error
    return json.dumps(found, sort_keys=True) if found else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"  # any other name may lead anywhere
