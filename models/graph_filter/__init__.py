"""A linear graph filter over interactions, for marketplaces with long histories."""

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
    """[graph_filter]: linear graph filter over startups."""

    min_pairs: float = setting(
        25.0, "the model is left out if users met fewer startups on average", unit="startups", low=0, phase=Phase.TRAIN
    )
    rank: int = setting(256, "number of eigenvectors", low=1, high=2048, phase=Phase.TRAIN, tune=(64, 128, 256, 512))
    weight: float = setting(
        0.1,
        "weight of the eigenvectors beside the filter",
        low=0,
        phase=Phase.TRAIN,
        tune=(0.0, 0.05, 0.1, 0.2, 0.4),
    )
    exponent: float = setting(
        0.4,
        "power of both sides' counts in the normalisation; 0.5 in GF-CF",
        low=0,
        high=1,
        phase=Phase.TRAIN,
        tune=(0.3, 0.4, 0.5),
    )
    sharpening: float = setting(
        1.5,
        "power p of the filter, which lifts large eigenvalues; 1: none, as in GF-CF; 1.5 in ChebyCF",
        low=0,
        high=3,
        phase=Phase.TRAIN,
        tune=(1.0, 1.5, 2.0),
    )


SPEC = ModelSpec(
    name="graph_filter",
    bundle="graph_filter_v1",
    title="Linear graph filter, if users met many startups.",
    arrays="as `item_neighbours_v1` (item)",
    rows="startup x startup, csr; only if users met many startups",
    fit="models.graph_filter.fit:fit",
    config=GraphFilterConfig,
    source=GRAPH_FILTER,
    owners=USERS,
    scorer="models.scoring.neighbours:open_scorer",
    demand_weighted=True,
    optional=True,
)
