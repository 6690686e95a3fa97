"""The rules rank without a trained ranker: a weighted sum of four features (C36, G11)."""

from dataclasses import dataclass

from models.setting import Idle, Phase, setting
from models.spec import ModelSpec, Stage

_RULES_ONLY = (Idle(("learned", "mlp", "stacked", "off")),)


@dataclass(frozen=True)
class RulesConfig:
    """[rules]: the ranker without training."""

    model_weight: float = setting(
        0.5, "weight of the models' score", low=0, phase=Phase.SERVE, flat="rule_model_weight", idle=_RULES_ONLY
    )
    recency_weight: float = setting(
        0.2, "weight of recency", low=0, phase=Phase.SERVE, flat="rule_recency_weight", idle=_RULES_ONLY
    )
    popularity_weight: float = setting(
        0.2, "weight of popularity", low=0, phase=Phase.SERVE, flat="rule_popularity_weight", idle=_RULES_ONLY
    )
    diversity_weight: float = setting(
        0.1, "weight of diversity", low=0, phase=Phase.SERVE, flat="rule_diversity_weight", idle=_RULES_ONLY
    )
    recency_days: float = setting(
        30.0, "recency = exp(-age / this)", unit="days", low=0.01, phase=Phase.SERVE, flat="recency_days"
    )


SPEC = ModelSpec(
    name="rules_ranker",
    bundle="",
    title="The rules that rank where no trained ranker serves.",
    arrays="",
    rows="",
    fit="",
    config=RulesConfig,
    table="rules",
    scorer="models.rules_ranker.scorer:open_ranker",
    stage=Stage.RANKER,
    kind="rules",
    code=4,
)
