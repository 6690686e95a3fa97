"""A linear graph filter over interactions, for marketplaces with dense histories."""

from dataclasses import dataclass

from models.setting import Phase, setting
from models.spec import USERS, ModelSpec, Source

GRAPH_FILTER = Source(
    "graph_filter",
    6,
    "graph filter",
    ("close to startups you engaged with", "close to people who engaged with your startup"),
)


@dataclass(frozen=True)
class GraphFilterConfig:
    """The table [graph_filter]."""

    min_pairs: float = setting(
        25.0, "not used if users interacted with fewer startups on average", unit="startups", low=0, phase=Phase.TRAIN
    )
    rank: int = setting(256, "eigenvectors", low=1, high=2048, phase=Phase.TRAIN, tune=(64, 128, 256, 512))
    weight: float = setting(
        0.1,
        "weight of the eigenvectors relative to the two hops",
        low=0,
        phase=Phase.TRAIN,
        tune=(0.0, 0.03, 0.1, 0.3, 1.0),
    )
    exponent: float = setting(
        0.4,
        "exponent of both counts that normalise a pair; 0.5 as in GF-CF",
        low=0,
        high=1,
        phase=Phase.TRAIN,
        tune=(0.3, 0.4, 0.5),
    )
    sharpening: float = setting(0.5, "0: none, as in GF-CF", low=0, high=3, phase=Phase.TRAIN, tune=(0.0, 0.5, 1.5))


SPEC = ModelSpec(
    name="graph_filter",
    bundle="graph_filter_v1",
    title="Linear graph filter: two hops and main eigenvectors; only for dense histories.",
    arrays="the same (item)",
    rows="startup x startup linear graph filter, csr; only for dense histories",
    fit="models.graph_filter.fit:fit",
    config=GraphFilterConfig,
    source=GRAPH_FILTER,
    owners=USERS,
    scorer="models.scoring.neighbours:open_scorer",
    demand_weighted=True,
    optional=True,
)
