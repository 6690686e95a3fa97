"""Settings that the rankers share: the table [ranker]."""

from dataclasses import dataclass

from models.setting import Phase, setting


@dataclass(frozen=True)
class RankerConfig:
    """The table [ranker]."""

    kind: str = setting(
        "auto",
        "auto: the learned ranker where it passes evaluation, else the network (mlp), else rules",
        choices=("auto", "learned", "mlp", "rules", "off"),
        phase=Phase.SERVE,
        flat="ranker",
    )
    cuts: int = setting(
        6,
        "historical cutoffs for the learned ranker's samples; base models are trained before each",
        low=0,
        high=24,
        phase=Phase.RANK,
    )
    candidates: int = setting(100, "candidates per source for the learned ranker", low=10, high=1000, phase=Phase.SERVE)
    diversity_weight: float = setting(
        0.0,
        "learned ranker: score penalty for similarity to items placed above",
        low=0,
        high=1,
        phase=Phase.SERVE,
        flat="diversity_weight",
    )
    diversity_places: int = setting(
        20, "places ranked with diversity", unit="places", low=0, high=100, phase=Phase.SERVE, flat="diversity_places"
    )
    epochs: int = setting(20, "network: passes over the training pairs (C37)", low=1, high=500, phase=Phase.RANK)
    batch: int = setting(128, "network: pairs per batch (C37)", unit="pairs", low=1, phase=Phase.RANK)
    learning_rate: float = setting(0.001, "network: learning rate of Adam (C37)", low=0, phase=Phase.RANK)
    hidden: tuple[int, ...] = setting(
        (32, 16), "network: widths of the hidden layers (C33, C40)", low=1, high=4096, phase=Phase.RANK
    )
    negatives: int = setting(2, "network: negatives per positive (C43)", low=1, high=50, phase=Phase.RANK)
    negatives_from: str = setting(
        "candidates",
        "declined: items viewed without engagement first (C42)",
        choices=("candidates", "declined"),
        phase=Phase.RANK,
    )
    min_positives: int = setting(100, "with fewer positives the rules rank (C53)", low=1, phase=Phase.RANK)
