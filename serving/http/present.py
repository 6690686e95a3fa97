"""Make the public body of a list. Only this module knows its fields (docs/reference/api.md, F07-F13)."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from models.catalogue.catalogue import ItemTable
from models.schema import Entity, Surface
from serving.http.answer_ids import AnswerIds
from serving.http.places import places, quoted
from serving.http.requests import Query
from serving.lists import HIDDEN, Answer
from serving.releases import age_hours


def body(answer: Answer, query: Query, stale_hours: float, ids: AnswerIds, now: datetime | None = None) -> str:
    """Return the JSON body of one list, cut to the query. A list is never padded: `short` marks a short one.

    Shared text is cached: per release in `_facts`, per place in serving/http/places.py.
    """
    listing, held, surface = answer.listing, answer.held, answer.surface
    table, last = held.items[surface.item], query.offset + query.limit
    cut: slice | NDArray[np.int64] = slice(query.offset, last)
    total = len(listing.item)
    if query.filtered:
        wanted = _wanted(answer, query, table)
        total, cut = len(wanted), wanted[cut]
    shown = max(0, min(total, last) - query.offset)
    items, scores = places(listing, table, surface.voice, cut)
    start, middle, end = _facts(answer)
    reason = _why_short(answer, query, total, shown)
    answer_id = ids.of(answer, now)
    return (
        f'{{"{surface.item.value}s":[{items}],"scores":{{{scores}}},{start}{listing.count}{middle}'
        f'"generated_at":{quoted(answer.generated_at)},"release":{quoted(held.id)},"source":{quoted(answer.source)},'
        f'"stale":{_BOOL[age_hours(held.release.generated_at, now) > stale_hours]},'
        f'"degraded":{_BOOL[bool(answer.trouble)]},"known":{_BOOL[answer.known]},"total":{total},'
        f'"short":{_BOOL[shown < query.limit]},"reason":{_text(reason)},"answer_id":{_text(answer_id)}{end}'
    )


_BOOL = ("false", "true")


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _facts(answer: Answer) -> tuple[str, str, str]:
    """Return the shared text of a body: before the count, after the count, and the end."""
    listing, held, live = answer.listing, answer.held, answer.source == "live"
    names = answer.arm and (answer.arm[0].name, answer.arm[1].name)
    key = (answer.surface, listing.method, listing.route, listing.ranker, listing.part, names, live)
    if (known := held.texts.get(key)) is None:
        version = held.version(answer.surface, listing, answer.arm, live)
        experiment, arm = names or (None, None)
        known = held.texts[key] = (
            f'"surface":{quoted(answer.surface)},"method_used":{quoted(listing.method)},"route":{quoted(listing.route)},'
            f'"model_version":{quoted(version.model_version)},"interaction_count":',
            f',"reranked":{_BOOL[listing.reranked]},"ranker":{_text(version.ranker)},'
            f'"ranker_version":{_text(version.ranker_version)},',
            f',"experiment":{_text(experiment)},"arm":{_text(arm)}}}',
        )
    return known


def _wanted(answer: Answer, query: Query, table: ItemTable) -> NDArray[np.int64]:
    """Return the places that pass the filters, in order. The stored list is longer than the answer."""
    item = answer.listing.item
    keep = np.ones(len(item), bool)
    for facet, values in query.facets.items():
        wanted = np.zeros(len(table.labels[facet]) + 1, bool)  # the last entry is for a blank, code -1
        wanted[[code for value in values for code in table.codes[facet].get(value, ())]] = True
        keep &= wanted[table.facets[facet][item]]
    if query.exclude:
        keep &= ~np.isin(item, table.ids.rows_of(sorted(query.exclude)))
    return np.flatnonzero(keep)


def _why_short(answer: Answer, query: Query, total: int, shown: int) -> str | None:
    """Explain why a list is shorter than requested. None for a full list."""
    if answer.reason:
        return answer.reason
    if shown == query.limit:
        return None
    if total > query.offset:
        return "the list ends here" + _left_out(answer)
    if not len(answer.listing.item):
        return why_empty(answer)
    if query.filtered and not total:
        return f"none of the {len(answer.listing.item)} stored places passes the filters" + _left_out(answer)
    return f"the list has {total} places, all before the offset" + _left_out(answer)


def _left_out(answer: Answer) -> str:
    """Return the end of a reason: what was removed from the stored list. Empty if nothing was."""
    said = [f"{answer.met} met or dismissed since it was made"] * (answer.met > 0)
    said += [f"{answer.hidden} {HIDDEN[answer.surface.item]}"] * (answer.hidden > 0)
    return f"; left out: {', '.join(said)}" if said else ""


def why_empty(answer: Answer) -> str:
    """Explain why nothing is left of a list, or was never in it."""
    if answer.met or answer.hidden:
        return "nothing of the list is left" + _left_out(answer)
    if not isinstance(answer.surface, Surface):
        return "nothing is known that is similar: no common partners, and no similar profile"
    if answer.held.popular.get(answer.surface) is None or not len(answer.held.popular[answer.surface].item):
        return (
            f"there is no {_noun(answer.surface)} yet who could be shown"
            if answer.surface.item is Entity.USER
            else "there is no startup yet that could be shown"
        )
    return "everything that may be shown has been met already"


def _noun(surface: Surface) -> str:
    return surface.role.value
