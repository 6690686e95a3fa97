"""An owner's list as served, each place with its reasons and with what each model says now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from models import registry
from models.errors import MatchbookError
from models.schema import Entity, Similar, Surface
from models.sentences import sentences
from serving.because import Because
from serving.console.formats import rankers
from serving.console.insight import Insight
from serving.console.panel import Panel, asked
from serving.http.present import why_empty
from serving.lists import Answer, ListReader

SHOWN = 20
#: Places of the list as it would be made now that are explained: more, because the shown one is older.
EXPLAINED = 40
#: Rows "because of X" of a list, and places of each.
ROWS, IN_ROW = 3, 5


@dataclass(frozen=True)
class OwnerList:
    """A list of one surface.

    facts: label and text. places: {place, id, name, score, reasons, said: (model's label, 0..1), highest first}.
    trouble: why the models say nothing; the list is shown anyway. empty: why it has no places.
    because: what is similar to what the owner engaged with: {id, name, kind, places}.
    """

    surface: Surface
    facts: list[tuple[str, str]]
    places: list[dict[str, Any]]
    trouble: str
    empty: str
    because: Panel


class OwnerLists:
    """Reads lists as the API serves them."""

    def __init__(self, lists: ListReader, insight: Insight, because: Because) -> None:
        self._lists, self._insight, self._because = lists, insight, because

    def of(self, surfaces: Sequence[Surface], owner: str, caller: str) -> list[tuple[Surface, Panel]]:
        """Return the list of each surface. All have the same kind of owner."""
        record = asked(lambda: self._insight.record(surfaces[0].owner, owner)) if surfaces else Panel()
        return [(s, asked(partial(self._one, s, owner, record, caller))) for s in surfaces]

    def similar(self, entity: Entity, id: str, caller: str) -> list[dict[str, Any]]:
        """Return the similar startups or people, as `served`, with names."""
        kind = next(kind for kind in Similar if kind.owner is entity)
        places = served(self._lists.one(kind, id, caller))
        return _named(places, self._names(entity, places))

    def _one(self, surface: Surface, owner: str, record: Panel, caller: str) -> OwnerList:
        answer = self._lists.one(surface, owner, caller)
        said = Panel(trouble=record.trouble)
        if record.found is not None:
            said = asked(lambda: self._insight.said(surface, owner, record.found, EXPLAINED))
        about: Mapping[str, Any] = said.found or {}
        by_id = {place["id"]: said_of(place) for place in about.get("list", ())}
        places = served(answer)[:SHOWN]
        named = _named(places, self._names(surface.item, places))
        told = [p | {"said": by_id.get(p["id"], [])} for p in named]
        empty = "" if told else answer.reason or why_empty(answer)
        because = asked(lambda: self._rows(surface, owner, record, caller))
        return OwnerList(surface, _facts(answer, about), told, said.trouble, empty, because)

    def _rows(self, surface: Surface, owner: str, record: Panel, caller: str) -> list[dict[str, Any]]:
        """Return the first places of each row "because of X"."""
        rows = self._because.rows(surface, owner, ROWS, caller, lambda: record.found).rows
        heads = [{"id": row.item, "kind": row.kind} for row in rows]
        shown = [served(row.answer)[:IN_ROW] for row in rows]
        names = self._names(surface.item, [*heads, *chain.from_iterable(shown)])
        return [
            head | {"places": _named(places, names)} for head, places in zip(_named(heads, names), shown, strict=True)
        ]

    def _names(self, entity: Entity, places: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """Return names by id if PostgreSQL answers: a list is shown without them too."""
        try:
            return self._insight.names(entity, [p["id"] for p in places])
        except MatchbookError:
            return {}


def _named(places: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{**p, "name": names.get(p["id"], "")} for p in places]


def served(answer: Answer) -> list[dict[str, Any]]:
    """Return every place of an answer: {place, id, score, reasons}."""
    listing, table = answer.listing, answer.held.items[answer.surface.item]
    columns = (listing.item.tolist(), listing.score.tolist(), listing.source.tolist(), listing.reason.tolist())
    return [
        {
            "place": place,
            "id": id,
            "score": score,
            "reasons": sentences(reason, source, answer.surface.voice, row, table.facets, table.labels),
        }
        for place, (row, score, source, reason, id) in enumerate(
            zip(*columns, table.ids.text(listing.item).tolist(), strict=True), 1
        )
    ]


def said_of(place: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return label and scaled score of each source that scored a place, the highest first."""
    labels = {source.name: source.label for source in registry.sources()}
    scaled = {labels.get(name, name): score for name, score in place.get("scaled", {}).items() if score is not None}
    return sorted(scaled.items(), key=lambda pair: -pair[1])


def _facts(answer: Answer, about: Mapping[str, Any]) -> list[tuple[str, str]]:
    listing, held = answer.listing, answer.held
    ranker = registry.ranker(listing.ranker)
    kinds = [] if ranker is None else (about.get("ranker") == ranker.kind and about["mean_of"]) or [ranker.kind]
    found = [
        ("Segment", str(about.get("segment", ""))),
        ("Route", listing.route.value),
        ("Method", listing.method.value),
        ("Ordered by", rankers(kinds) if ranker else "the ranker" if listing.reranked else "the method's score"),
        ("Places", f"{len(listing.item)}, the first {SHOWN} below" if len(listing.item) > SHOWN else ""),
        ("Events counted", str(listing.count)),
        ("Candidates", str(about.get("candidates", ""))),
        ("From", f"release {held.id}" if answer.source == "cache" else "computed live"),
        ("Experiment", f"{answer.arm[0].name}, arm {answer.arm[1].name}" if answer.arm else ""),
    ]
    left = [f"{answer.met} met since"] * (answer.met > 0) + [f"{answer.hidden} hidden"] * (answer.hidden > 0)
    found += [("Left out", ", ".join(left)), ("Degraded", answer.trouble)]
    return [(label, text) for label, text in found if text]
