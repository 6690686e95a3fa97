"""Item-item cosine over shared owners: startups for users, and users for startups."""

from dataclasses import dataclass, replace

from models.setting import Phase, setting
from models.spec import STARTUPS, USERS, ModelSpec, Source

ITEM_NEIGHBOURS = Source(
    "item_neighbours",
    4,
    "neighbours",
    ("similar to startups you engaged with", "similar to people who engaged with your startup"),
    # a founder gets no count: it would say what one named person did elsewhere
    ("{n} people with your history {done} this startup", ""),
    similar=("the same people engage with both", "engages with the same startups"),
    similar_counted="{n} of the same people {done} it",
)
_SHARES = (0.0, 0.03, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class NeighboursConfig:
    """[item_neighbours]: cosine neighbours between startups."""

    count: int = setting(
        200, "neighbours kept per item", low=1, high=5000, phase=Phase.TRAIN, tune=(50, 200, 1000), flat="neighbours"
    )
    half_life_share: float = setting(
        0.5,
        "share of the events' time span after which a neighbour's interaction counts half; 0: no decay",
        unit="share",
        low=0,
        phase=Phase.TRAIN,
        tune=_SHARES,
        flat="neighbours_half_life_share",
    )


@dataclass(frozen=True)
class NeighboursReverseConfig:
    """[item_neighbours_reverse]: cosine neighbours between users."""

    half_life_share: float | None = setting(
        None,
        "as in [item_neighbours], which an unset value follows",
        unit="share",
        low=0,
        phase=Phase.TRAIN,
        tune=_SHARES,
        flat="neighbours_reverse_half_life_share",
    )

    def completed(self, forward: NeighboursConfig) -> NeighboursConfig:
        """Fill unset fields from [item_neighbours]."""
        return replace(forward, **{name: value for name, value in vars(self).items() if value is not None})


SPEC = ModelSpec(
    name="item_neighbours",
    bundle="item_neighbours_v1",
    title="Startups that the same users met.",
    arrays="indptr, indices, data; people_indptr, people_indices, people_data (item)",
    rows=(
        "startup x startup cosine, decayed by the age of the column's interactions, csr; for the same pairs, how many "
        "users met the row and did what with the column, csr"
    ),
    fit="models.item_neighbours.fit:fit",
    config=NeighboursConfig,
    source=ITEM_NEIGHBOURS,
    owners=USERS,
    scorer="models.scoring.neighbours:open_scorer",
    demand_weighted=True,
)
REVERSE = ModelSpec(
    name="item_neighbours_reverse",
    bundle="item_neighbours_reverse_v1",
    title="Users who met the same startups, for founders.",
    arrays="indptr, indices, data (item)",
    rows="user x user cosine, decayed by the age of the column's interactions, csr",
    fit="models.item_neighbours.fit:fit_reverse",
    config=NeighboursReverseConfig,
    source=ITEM_NEIGHBOURS,
    owners=STARTUPS,
    scorer="models.scoring.neighbours:open_scorer",
    demand_weighted=True,
)
