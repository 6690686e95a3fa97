"""The learned ranker: an average of a regression and trees over many features (A07)."""

from models.ranker import RankerConfig
from models.spec import ModelSpec, Stage

SPEC = ModelSpec(
    name="learned_ranker",
    bundle="learned_ranker_v1",
    title="The learned ranker of each surface, trained on a rolling-origin backtest.",
    arrays="`<surface>-<part>-centre`, `-spread`, `-logistic_weight`, `-<forest>_…`",
    rows=(
        "regression and trees of each surface and part (known and unseen owners, or all), over the columns in the "
        "config, with the surfaces that they serve; optional"
    ),
    fit="models.learned_ranker.fit:fit_learned_ranker",
    config=RankerConfig,
    table="ranker",
    scorer="models.learned_ranker.scorer:open_ranker",
    optional=True,
    stage=Stage.RANKER,
    kind="learned",
    code=2,
)
