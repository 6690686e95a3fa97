"""Implicit alternating least squares: startups for users, and in reverse (A02-A04)."""

from dataclasses import dataclass, replace

from models.setting import Phase, setting
from models.spec import STARTUPS, USERS, ModelSpec, Source

_WORDS = ("people with activity like yours engaged with it", "engages with startups like yours")
ALS = Source("als", 1, "ALS", _WORDS)
ALS_REVERSE = Source("als_reverse", 2, "ALS, reverse", _WORDS)

_FACTORS = (32, 64, 128, 256)
_ALPHAS = (1.0, 3.0, 10.0, 40.0, 100.0)
_ITERATIONS = (15, 20, 30)
_REGULARIZATIONS = (0.01, 0.05, 0.1, 1.0, 3.0, 10.0)
_DAMPINGS = ("none", "log", "binary")
_SHARES = (0.0, 0.03, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class AlsConfig:
    """[als]: alternating least squares, users to startups."""

    factors: int = setting(128, "length of a vector", low=1, high=1024, phase=Phase.TRAIN, tune=_FACTORS)
    alpha: float = setting(40.0, "confidence per unit of weight", low=0, phase=Phase.TRAIN, tune=_ALPHAS)
    iterations: int = setting(20, "solver iterations", low=1, high=500, phase=Phase.TRAIN, tune=_ITERATIONS)
    regularization: float = setting(0.01, "L2 penalty on vectors", low=0, phase=Phase.TRAIN, tune=_REGULARIZATIONS)
    min_interactions: int = setting(1, "owners with fewer events are left out", unit="events", low=1, phase=Phase.TRAIN)
    damping: str = setting(
        "none", "how repeated events of a pair add up", choices=_DAMPINGS, phase=Phase.TRAIN, tune=_DAMPINGS
    )
    half_life_share: float = setting(
        0.0,
        "share of the events' time span after which a weight halves; 0: no decay",
        unit="share",
        low=0,
        phase=Phase.TRAIN,
        tune=_SHARES,
    )


@dataclass(frozen=True)
class AlsReverseConfig:
    """[als_reverse]: ALS, startups to users. Unset values are those of [als]."""

    factors: int | None = setting(64, "as in [als]", low=1, high=1024, phase=Phase.TRAIN, tune=_FACTORS)
    alpha: float | None = setting(None, "as in [als]", low=0, phase=Phase.TRAIN, tune=_ALPHAS)
    iterations: int | None = setting(None, "as in [als]", low=1, high=500, phase=Phase.TRAIN, tune=_ITERATIONS)
    regularization: float | None = setting(10.0, "as in [als]", low=0, phase=Phase.TRAIN, tune=_REGULARIZATIONS)
    damping: str | None = setting(
        "log",
        "as in [als]",
        choices=_DAMPINGS,
        phase=Phase.TRAIN,
        tune=_DAMPINGS,
    )
    half_life_share: float | None = setting(
        0.5,
        "as in [als]",
        unit="share",
        low=0,
        phase=Phase.TRAIN,
        tune=_SHARES,
    )

    def completed(self, forward: AlsConfig) -> AlsConfig:
        """Fill unset fields from [als]."""
        return replace(forward, **{name: value for name, value in vars(self).items() if value is not None})


SPEC = ModelSpec(
    name="als",
    bundle="als_v1",
    title="ALS, users to startups: what users with similar interactions met.",
    arrays="user_factors, item_factors (user, item)",
    rows="user = user, item = startup",
    fit="models.als.fit:fit",
    config=AlsConfig,
    source=ALS,
    owners=USERS,
    scorer="models.scoring.factors:open_scorer",
    fold_in="models.als.scorer:open_fold",
    switch=("routing.enable_als",),
    pin="routing.als_model_path",
    command=("train-als", "factors", "regularization", "iterations", "alpha", "min-interactions=min_interactions"),
)
REVERSE = ModelSpec(
    name="als_reverse",
    bundle="als_reverse_v1",
    title="ALS, startups to users, trained separately for founders.",
    arrays="user_factors, item_factors (user, item)",
    rows="**user = startup, item = user**, in the solver's terms",
    fit="models.als.fit:fit_reverse",
    config=AlsReverseConfig,
    source=ALS_REVERSE,
    owners=STARTUPS,
    scorer="models.scoring.factors:open_scorer",
    fold_in="models.als.scorer:open_fold",
    switch=("routing.enable_als",),
    command=(
        "train-als-reverse",
        "factors",
        "regularization",
        "iterations=als.iterations",
        "alpha",
        "min-interactions=als.min_interactions",
    ),
)
