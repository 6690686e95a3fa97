"""The stacked ranker: a blend of few sources with few weights, for surfaces with little data."""

from models.ranker import RankerConfig
from models.spec import ModelSpec, Stage

SPEC = ModelSpec(
    name="stacked_ranker",
    bundle="stacked_ranker_v1",
    title="The blend of few sources that ranks where data are too few for the learned ranker.",
    arrays="`<surface>-known`, `<surface>-unseen`",
    rows="weight of each term in the config, for owners with events and without, and the surfaces; optional",
    fit="models.stacked_ranker.fit:fit_weights",
    config=RankerConfig,
    table="ranker",
    scorer="models.stacked_ranker.scorer:open_ranker",
    optional=True,
    stage=Stage.RANKER,
    kind="stacked",
    code=5,
)
