"""Who came to the platform since a release, and everybody with them, in rows that go on where the old ones end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from models.data.profile_text import text_of
from models.nouns.entities import FACETS, UNKNOWN_TIME, Entities
from models.nouns.id_map import NIL
from models.nouns.words import folded, most_frequent_spellings
from models.schema import Entity, Role
from models.settings import Settings
from pipelines.postgres import engine, rows
from pipelines.runs.run import microseconds


@dataclass(frozen=True)
class Arrival:
    """Somebody new. role: code of `Role`, -1 for startups and people of other roles. gone: opted out or withdrawn.

    text: the tokens of the profile. founder: an id, blank where unknown. facets: words by FACETS.
    """

    id: str
    role: int
    created_us: int
    gone: bool
    text: str
    founder: str
    facets: Mapping[str, str]


def arrivals(
    settings: Settings, known: Entities, met: Iterable[str], since: datetime, as_of: datetime
) -> list[Arrival]:
    """Everybody of a kind that is not known, ascending by id: entered since, at an unknown time, or met by now.

    met: ids that events name. Who is on no table of the platform is left out.
    """
    name, database, earliest = f"{known.entity}s", engine(settings), settings.earliest_at
    born = [str(r.id) for r in rows(database, f"since/born_{name}", since=since, as_of=as_of, earliest=earliest)]
    asked = np.unique(np.array([*born, *met], "<U36"))
    unknown = asked[(known.ids.rows_of(asked) < 0) & (asked != "") & (asked != NIL)].tolist()
    found = rows(database, f"since/{name}", ids=unknown, as_of=as_of, earliest=earliest) if unknown else []
    return [_arrival(known, dict(row._mapping)) for row in found]


def extended(before: Entities, new: Sequence[Arrival], users: Entities | None = None) -> Entities:
    """Everybody, those who came since behind the others; their counts are 0 still. users: whose rows founders are."""
    ids = before.ids.extended([a.id for a in new]) if new else before.ids
    facets, labels = {}, {}
    for facet in FACETS:
        words = [a.facets.get(facet, "") for a in new]
        known = {folded(label) for label in before.labels[facet]}
        shown = most_frequent_spellings((word, 1) for word in words)
        labels[facet] = (*before.labels[facet], *(shown[word] for word in sorted(shown) if word not in known))
        place = {folded(label): code for code, label in enumerate(labels[facet])} | {"": -1}
        facets[facet] = _behind(before.facets[facet], [place[folded(word)] for word in words])
    founder = users.ids.rows_of([a.founder for a in new]) if users is not None and new else np.full(len(new), -1)
    zeros, people = [0] * len(new), before.entity is Entity.USER
    return replace(
        before,
        ids=ids,
        facets=facets,
        labels=labels,
        role=_behind(before.role, [a.role for a in new]),
        listed=_behind(before.listed, [not a.gone for a in new]),
        opted_out=_behind(before.opted_out, [people and a.gone for a in new]),
        founder=_behind(before.founder, founder.tolist()),
        created_at=_behind(before.created_at, [a.created_us for a in new]),
        views=_behind(before.views, zeros),
        interactions=_behind(before.interactions, zeros),
        count=_behind(before.count, zeros),
    )


def texts_of_later(settings: Settings, known: Entities, as_of: datetime) -> np.ndarray:
    """(n,) str objects: the tokens of the profiles of whoever came since the build, blank for all others."""
    text = np.full(len(known), "", object)
    later = known.ids.ids[len(known) - known.ids.later :]
    later = later[later != ""].tolist()
    found = (
        rows(engine(settings), f"since/{known.entity}s", ids=later, as_of=as_of, earliest=settings.earliest_at)
        if later
        else []
    )
    for row in found:
        arrival = _arrival(known, dict(row._mapping))
        text[known.ids.rows_of([arrival.id])] = arrival.text
    return text


def _arrival(known: Entities, row: Mapping[str, Any]) -> Arrival:
    words = known.told({name: value for name, value in row.items() if isinstance(value, str)})
    role = Role.of(words.pop("role", ""))
    created = UNKNOWN_TIME if row["created_at"] is None else microseconds(row["created_at"])
    names = ("location",) if known.entity is Entity.USER else FACETS
    facets = {name: words.get(name, "") for name in names}
    return Arrival(
        str(row["id"]),
        -1 if role is None else role.code,
        created,
        bool(row["gone"]),
        text_of(words),
        str(row.get("founder_id") or ""),
        facets,
    )


def _behind(column: np.ndarray, more: Sequence[Any]) -> np.ndarray:
    return np.concatenate([column, np.array(more, column.dtype)])
