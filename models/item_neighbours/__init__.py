"""Item-item cosine: who met this also met that; startups for users, and users for startups."""

from dataclasses import dataclass, replace

from models.setting import Phase, setting
from models.spec import STARTUPS, USERS, ModelSpec, Source

ITEM_NEIGHBOURS = Source(
    "item_neighbours",
    4,
    "neighbours",
    ("similar to startups you engaged with", "similar to people who engaged with your startup"),
    ("{n} people with your history {done} this startup", "{done} {n} startups that a person who met yours also met"),
)
_SHARES = (0.0, 0.03, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class NeighboursConfig:
    """The table [item_neighbours]."""

    count: int = setting(
        200, "neighbours kept per item", low=1, high=5000, phase=Phase.TRAIN, tune=(50, 200, 1000), flat="neighbours"
    )
    half_life_share: float = setting(
        0.5,
        "what a neighbour was met by counts half after this share of the data's span; 0: never",
        unit="share",
        low=0,
        phase=Phase.TRAIN,
        tune=_SHARES,
        flat="neighbours_half_life_share",
    )


@dataclass(frozen=True)
class NeighboursReverseConfig:
    """The table [item_neighbours_reverse]. What is unset is as in [item_neighbours]."""

    half_life_share: float | None = setting(
        None,
        "the same among users; unset: as [item_neighbours]",
        unit="share",
        low=0,
        phase=Phase.TRAIN,
        tune=_SHARES,
        flat="neighbours_reverse_half_life_share",
    )

    def completed(self, forward: NeighboursConfig) -> NeighboursConfig:
        """What the reverse is fitted with: what is left out here is as in [item_neighbours]."""
        return replace(forward, **{name: value for name, value in vars(self).items() if value is not None})


SPEC = ModelSpec(
    name="item_neighbours",
    bundle="item_neighbours_v1",
    title="Startups that the same people met: one more source of candidates.",
    arrays="indptr, indices, data; people_indptr, people_indices, people_data (item)",
    rows=(
        "startup x startup cosine, faded by the age of the meetings with the column, csr; for the same pairs, how many "
        "people met the row and did what with the column, csr"
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
    title="Users who met the same startups, for the founders.",
    arrays="the same (item)",
    rows="the same, user x user",
    fit="models.item_neighbours.fit:fit_reverse",
    config=NeighboursReverseConfig,
    source=ITEM_NEIGHBOURS,
    owners=STARTUPS,
    scorer="models.scoring.neighbours:open_scorer",
    demand_weighted=True,
)
