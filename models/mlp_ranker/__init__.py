"""The network ranker: a small multi-layer perceptron over four features (C33-C40)."""

from models.ranker import RankerConfig
from models.spec import ModelSpec, Stage

SPEC = ModelSpec(
    name="mlp_ranker",
    bundle="ranker_v1",
    title="The network (MLP) that ranks where the learned ranker does not.",
    arrays="weight_0, bias_0, … ; files `ranker_v1.pth`, `ranker_v1_best.pth`",
    rows="layers of the MLP; optional",
    fit="models.mlp_ranker.fit:fit_mlp_ranker",
    config=RankerConfig,
    table="ranker",
    scorer="models.mlp_ranker.scorer:open_ranker",
    optional=True,
    stage=Stage.RANKER,
    kind="mlp",
    code=3,
)
