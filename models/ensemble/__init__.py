"""The blend of ALS and two-tower for owners who did much (A06, C08-C18)."""

from dataclasses import dataclass

from models.setting import Idle, Phase, setting
from models.spec import USERS, ModelSpec, Stage

_PROFILES = ("collaborative", "balanced", "semantic", "equal")
_LEARNED = Idle(("learned",))
_NO_WEIGHTS = Idle(where=(("ensemble.blend", ("rrf", "dynamic")),))
_BY_PROFILE = Idle(where=(("ensemble.profile", _PROFILES),))


@dataclass(frozen=True)
class EnsembleConfig:
    """The table [ensemble]."""

    blend: str = setting(
        "auto",
        "how the ensemble blends (C08, C16-C18); auto: what the inner cut shows to beat the two weights below",
        choices=("auto", "weighted", "rrf", "learned", "dynamic"),
        phase=Phase.SERVE,
        flat="blend",
        idle=(_LEARNED,),
    )
    profile: str | None = setting(
        None,
        "named weights; unset: the two below (C11-C14)",
        choices=_PROFILES,
        phase=Phase.SERVE,
        flat="blend_profile",
        idle=(_LEARNED, _NO_WEIGHTS),
    )
    als_weight: float = setting(
        0.6,
        "weight of ALS (G06)",
        low=0,
        high=1,
        phase=Phase.SERVE,
        tune=(0.3, 0.4, 0.5, 0.6, 0.7),
        was="ENSEMBLE_ALS_WEIGHT",
        idle=(_LEARNED, _NO_WEIGHTS, _BY_PROFILE),
    )
    two_tower_weight: float = setting(
        0.4,
        "weight of the two-tower (G07)",
        low=0,
        high=1,
        phase=Phase.SERVE,
        was="ENSEMBLE_TWO_TOWER_WEIGHT",
        idle=(_LEARNED, _NO_WEIGHTS, _BY_PROFILE),
    )


SPEC = ModelSpec(
    name="ensemble",
    bundle="ensemble_v1",
    title="How ALS and the two-tower are blended, chosen at an inner cut.",
    arrays="coefficients, intercept where learned",
    rows="config: the blend chosen at the inner cut, and why (C17); optional",
    fit="models.ensemble.fit:fit_blend",
    config=EnsembleConfig,
    owners=USERS,
    switch=("routing.enable_ensemble", "routing.enable_als", "routing.enable_two_tower"),
    optional=True,
    stage=Stage.BLEND,
)
