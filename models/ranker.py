"""Settings that the rankers share: the table [ranker]."""

from dataclasses import dataclass

from models.setting import Idle, Phase, setting

#: For settings that only the learned ranker uses.
_LEARNED_ONLY = (Idle(("mlp", "rules", "off")),)
#: For settings that only the network uses.
_MLP_ONLY = (Idle(("learned", "stacked", "rules", "off")),)
_FIXED_BLEND = ("ensemble.blend", ("weighted", "rrf", "dynamic"))
#: For settings of how the network's training set is sampled. A learned blend uses the same rows.
_SAMPLED = (Idle(("learned", "stacked")), Idle(("rules", "off"), (_FIXED_BLEND,)))
#: For settings without effect when neither a ranker nor a blend is trained.
NOTHING_FITTED = Idle(where=(("ranker.kind", ("rules", "off")), _FIXED_BLEND))


@dataclass(frozen=True)
class RankerConfig:
    """[ranker]: the second stage."""

    kind: str = setting(
        "auto",
        "auto: the learned ranker where it passes validation, else the network (mlp), else the blend of few sources "
        "(stacked), else the rules; off: no ranker",
        choices=("auto", "learned", "mlp", "stacked", "rules", "off"),
        phase=Phase.SERVE,
        flat="ranker",
    )
    cuts: int = setting(
        6,
        "learned ranker: historical cutoffs of the backtest; base models are refitted at each",
        low=0,
        high=24,
        phase=Phase.RANK,
        idle=(Idle(where=(("ranker.kind", ("mlp", "rules", "off")),)),),
    )
    candidates: int = setting(
        50,
        "learned ranker and blend of few sources: candidates per source",
        low=10,
        high=1000,
        phase=Phase.SERVE,
        idle=_LEARNED_ONLY,
    )
    diversity_weight: float = setting(
        0.0,
        "learned ranker: score penalty for similarity to higher ranks (maximal marginal relevance)",
        low=0,
        high=1,
        phase=Phase.SERVE,
        flat="diversity_weight",
        idle=_LEARNED_ONLY,
    )
    diversity_places: int = setting(
        20,
        "ranks that diversity applies to",
        unit="places",
        low=0,
        high=100,
        phase=Phase.SERVE,
        flat="diversity_places",
        idle=(Idle(("learned", "stacked"), (("ranker.diversity_weight", (0.0,)),)), Idle(("off",))),
    )
    epochs: int = setting(20, "network: training epochs", low=1, high=500, phase=Phase.RANK, idle=_MLP_ONLY)
    batch: int = setting(128, "network: pairs per batch", unit="pairs", low=1, phase=Phase.RANK, idle=_MLP_ONLY)
    learning_rate: float = setting(0.001, "network: Adam's learning rate", low=0, phase=Phase.RANK, idle=_MLP_ONLY)
    hidden: tuple[int, ...] = setting(
        (32, 16), "network: widths of the hidden layers", low=1, high=4096, phase=Phase.RANK, idle=_MLP_ONLY
    )
    negatives: int = setting(2, "network: negatives per positive", low=1, high=50, phase=Phase.RANK, idle=_SAMPLED)
    negatives_from: str = setting(
        "candidates",
        "network: source of negatives; declined: items viewed without engagement first",
        choices=("candidates", "declined"),
        phase=Phase.RANK,
        idle=_SAMPLED,
    )
    min_positives: int = setting(
        100,
        "with fewer positives, neither the learned ranker nor the network is trained",
        low=1,
        phase=Phase.RANK,
        idle=(NOTHING_FITTED,),
    )
