"""The blend of ALS and two-tower for owners with many interactions (A06, C08-C18)."""

from dataclasses import dataclass

from models.setting import Idle, Phase, setting
from models.spec import USERS, ModelSpec, Stage

_PROFILES = ("collaborative", "balanced", "semantic", "equal")
_LEARNED = Idle(("learned", "stacked"))
_NO_WEIGHTS = Idle(where=(("ensemble.blend", ("rrf", "dynamic")),))
_BY_PROFILE = Idle(where=(("ensemble.profile", _PROFILES),))


@dataclass(frozen=True)
class EnsembleConfig:
    """[ensemble]: the blend of ALS and the two-tower."""

    blend: str = setting(
        "auto",
        "blend of the ensemble; auto: the two weights, unless another is clearly better on the validation split",
        choices=("auto", "weighted", "rrf", "learned", "dynamic"),
        phase=Phase.SERVE,
        flat="blend",
        idle=(_LEARNED,),
    )
    profile: str | None = setting(
        None,
        "named weights; unset: the two weights",
        choices=_PROFILES,
        phase=Phase.SERVE,
        flat="blend_profile",
        idle=(_LEARNED, _NO_WEIGHTS),
    )
    als_weight: float = setting(
        0.6,
        "weight of ALS",
        low=0,
        high=1,
        phase=Phase.SERVE,
        tune=(0.3, 0.4, 0.5, 0.6, 0.7),
        was="ENSEMBLE_ALS_WEIGHT",
        idle=(_LEARNED, _NO_WEIGHTS, _BY_PROFILE),
    )
    two_tower_weight: float = setting(
        0.4,
        "weight of the two-tower",
        low=0,
        high=1,
        phase=Phase.SERVE,
        was="ENSEMBLE_TWO_TOWER_WEIGHT",
        idle=(_LEARNED, _NO_WEIGHTS, _BY_PROFILE),
    )


SPEC = ModelSpec(
    name="ensemble",
    bundle="ensemble_v1",
    title="The blend of ALS and the two-tower, chosen on the validation split.",
    arrays="coefficients, intercept (learned blend)",
    rows="config: the chosen blend, and why; optional",
    fit="models.ensemble.fit:fit_blend",
    config=EnsembleConfig,
    owners=USERS,
    switch=("routing.enable_ensemble", "routing.enable_als", "routing.enable_two_tower"),
    optional=True,
    stage=Stage.BLEND,
)
