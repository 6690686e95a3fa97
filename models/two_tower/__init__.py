"""Two-tower network over ids, profile text and histories: half of the ensemble (A05, C32)."""

from dataclasses import dataclass

from models.setting import Phase, setting
from models.spec import ModelSpec, Source

TWO_TOWER = Source(
    "two_tower", 3, "two-tower", ("fits your interests and activity", "their interests and activity fit your startup")
)


@dataclass(frozen=True)
class TwoTowerConfig:
    """[two_tower]: two-tower network over features."""

    dimensions: int = setting(64, "length of a tower's output", low=2, high=512, phase=Phase.TRAIN, tune=(32, 64, 128))
    learning_rate: float = setting(0.003, "Adam's learning rate", low=0, phase=Phase.TRAIN, tune=(0.001, 0.003, 0.01))
    half_life_share: float = setting(
        0.5,
        "share of the events' time span after which a pair's weight halves; 0: no decay",
        unit="share",
        low=0,
        phase=Phase.TRAIN,
        tune=(0.0, 0.03, 0.1, 0.25, 0.5, 1.0),
    )
    epochs: int = setting(
        10,
        "training epochs at most",
        low=1,
        high=500,
        phase=Phase.TRAIN,
        tune=(5, 10, 20),
    )
    early_stopping: bool = setting(
        True, "choose the number of epochs on the newest tenth of the events; off: all", phase=Phase.TRAIN
    )
    batch: int = setting(512, "pairs per batch, with in-batch negatives", unit="pairs", low=2, phase=Phase.TRAIN)
    rows: int = setting(120_000, "pairs drawn per epoch at most", unit="pairs", low=2, phase=Phase.TRAIN)


SPEC = ModelSpec(
    name="two_tower",
    bundle="two_tower_v1",
    title="Two-tower network over features: the semantic half of the ensemble.",
    arrays=(
        "user_factors, item_factors, user_lengths, history_vectors (user, item), tokens, rarity, token_vectors, "
        "startup_token_vectors, file `two_tower_v1_best.pth`"
    ),
    rows=(
        "as als_v1; length of a user's vector before scaling; a startup's contribution to the vectors of users who met "
        "it; a token's contribution to a user, to a startup"
    ),
    fit="models.two_tower.fit:fit",
    config=TwoTowerConfig,
    source=TWO_TOWER,
    scorer="models.two_tower.scorer:open_scorer",
    fold_in="models.two_tower.scorer:open_fold",
    switch=("routing.enable_two_tower",),
    pin="routing.two_tower_model_path",
    demand_weighted=True,
    quick=(("epochs", 3), ("early_stopping", False)),
    forget="models.two_tower.network:zero_embedding",
    command=(
        "train-two-tower",
        "epochs",
        "batch-size=batch",
        "learning-rate=learning_rate",
        "dimensions",
        "device=environment.device",
    ),
)
