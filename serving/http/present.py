"""Make the public body of a list; only this module knows its fields (docs/reference/api.md, F07-F13)."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.catalogue.catalogue import ItemTable
from models.schema import Entity, Surface
from models.sentences import sentences
from serving.http.answer_ids import AnswerIds
from serving.http.requests import Query
from serving.lists import HIDDEN, Answer
from serving.releases import age_hours


def body(
    answer: Answer, query: Query, stale_hours: float, ids: AnswerIds, now: datetime | None = None
) -> dict[str, Any]:
    """The JSON body of one list, cut to the query. A list is never padded; `short` marks a short one."""
    listing, held = answer.listing, answer.held
    places = _wanted(answer, query, held.items[answer.surface.item])
    cut = places[query.offset : query.offset + query.limit]
    version = held.version(answer.surface, listing, answer.arm, answer.source == "live")
    items = _items(answer, held.items[answer.surface.item], cut)
    return {
        answer.surface.item.value + "s": items,
        "scores": {i["id"]: i["score"] for i in items},
        "method_used": listing.method.value,
        "route": listing.route.value,
        "model_version": version.model_version,
        "interaction_count": listing.count,
        "reranked": listing.reranked,
        "ranker": version.ranker,
        "ranker_version": version.ranker_version,
        "generated_at": answer.generated_at,
        "release": held.id,
        "source": answer.source,
        "stale": age_hours(held.release.generated_at, now) > stale_hours,
        "degraded": bool(answer.trouble),
        "known": answer.known,
        "total": len(places),
        "short": len(cut) < query.limit,
        "reason": _why_short(answer, query, len(places), len(cut)),
        "answer_id": ids.of(answer, now),
        "experiment": answer.arm[0].name if answer.arm else None,
        "arm": answer.arm[1].name if answer.arm else None,
    }


def _wanted(answer: Answer, query: Query, table: ItemTable) -> NDArray[np.int64]:
    """The places that pass the filters, in order. The stored list is deeper than the answer, so filters refill it."""
    item = answer.listing.item
    if not query.filtered:
        return np.arange(len(item))
    keep = np.ones(len(item), bool)
    for facet, values in query.facets.items():
        wanted = np.zeros(len(table.labels[facet]) + 1, bool)  # the last entry is for a blank, code -1
        wanted[[code for value in values for code in table.codes[facet].get(value, ())]] = True
        keep &= wanted[table.facets[facet][item]]
    if query.exclude:
        keep &= ~np.isin(item, table.ids.rows_of(sorted(query.exclude)))
    return np.flatnonzero(keep)


def _items(answer: Answer, table: ItemTable, places: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The entries of these places. Columns become lists first, because single NumPy values are slow."""
    listing, founder_side = answer.listing, answer.surface.owner is Entity.STARTUP
    rows = listing.item[places].tolist()
    columns = zip(
        rows,
        table.ids.ids[rows].tolist(),
        listing.score[places].tolist(),
        listing.source[places].tolist(),
        listing.reason[places].tolist(),
        strict=True,
    )
    return [
        {
            "id": item,
            "score": round(score, 4),
            "reasons": sentences(reason, source, founder_side, row, table.facets, table.labels),
            "sources": _names(source),
        }
        for row, item, score, source, reason in columns
    ]


@lru_cache(maxsize=4096)
def _names(source: int) -> list[str]:
    """The names of these source bits. All answers share the lists: never change them."""
    return [s.name for s in registry.sources() if source & s.bit]


def _why_short(answer: Answer, query: Query, total: int, shown: int) -> str | None:
    """Why a list is shorter than requested; None for a full one."""
    if answer.reason:
        return answer.reason
    if shown == query.limit:
        return None
    if total > query.offset:
        return "the list ends here" + _left_out(answer)
    if not len(answer.listing.item):
        return _why_empty(answer)
    if query.filtered and not total:
        return f"none of the {len(answer.listing.item)} stored places passes the filters" + _left_out(answer)
    return f"the list has {total} places, all before the offset" + _left_out(answer)


def _left_out(answer: Answer) -> str:
    """The end of a reason: what was left out of the stored list; empty if nothing."""
    said = [f"{answer.met} met or dismissed since it was made"] * (answer.met > 0)
    said += [f"{answer.hidden} {HIDDEN[answer.surface.item]}"] * (answer.hidden > 0)
    return f"; left out: {', '.join(said)}" if said else ""


def _why_empty(answer: Answer) -> str:
    if answer.met or answer.hidden:
        return "nothing of the list is left" + _left_out(answer)
    if answer.held.popular.get(answer.surface) is None or not len(answer.held.popular[answer.surface].item):
        return (
            f"there is no {_noun(answer.surface)} yet who could be shown"
            if answer.surface.item is Entity.USER
            else "there is no startup yet that could be shown"
        )
    return "everything that may be shown has been met already"


def _noun(surface: Surface) -> str:
    return surface.role.value
