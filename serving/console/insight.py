"""Explain one owner's list, or why an item is not in it, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.catalogue.catalogue import ItemTable
from models.errors import RequestError
from models.lists.redis_format import OWN, StoredList, since_meaning
from models.recommender.explain import explain, explain_item, not_shown
from models.recommender.surface import SurfaceRecommender
from models.schema import Entity, EventType, Surface
from serving.clients.postgres import PAGE, Database, OwnerRecord
from serving.clients.redis import Cache
from serving.lists import HIDDEN, Answer, ListReader
from serving.live.recommender import LiveRecommender
from serving.live.recommenders import folded_for
from serving.releases import HeldRelease, instant

FOUND_MOST = 20
COMPARED = 20  # places of each list that are compared
_OPENING_S = 5.0  # a person may wait until the models are open; list requests do not wait
_OWN = {Entity.STARTUP: "it is their own startup", Entity.USER: "it is their founder"}


class Insight:
    """Answers about single lists. Each method raises ServiceError if PostgreSQL, Redis or the models do not answer."""

    def __init__(self, cache: Cache, database: Database, lists: ListReader, live: LiveRecommender) -> None:
        self._cache, self._database, self._lists, self._live = cache, database, lists, live
        self._opened: dict[str, HeldRelease] = {}

    def releases(self) -> dict[str, Any]:
        """Return the live and earlier releases, newest first, and the label of every candidate source."""
        live = self._lists.releases.held
        found = [live, *self._before().values()]
        return {
            "live": live.id,
            "sources": {source.name: source.label for source in registry.sources()},
            "releases": [
                {
                    "release": r.id,
                    "as_of": r.release.as_of,
                    "generated_at": r.release.generated_at,
                    "lists": dict(r.release.lists),
                    "shares": dict(r.release.shares),
                }
                for r in found
            ],
        }

    def find(self, surface: Surface, entity: Entity, word: str) -> list[dict[str, Any]]:
        """Find up to FOUND_MOST owners or items whose id or a word of whose name starts with `word`."""
        roles = [surface.role.value] if entity is Entity.USER else []
        found = self._database.find(entity, word, roles, FOUND_MOST)
        return [{"id": i, "name": name, "role": role} for i, name, role in found]

    def explained(self, surface: Surface, owner: str, caller: str) -> dict[str, Any]:
        """Explain how an owner's list is made: route, candidates, and the scores of each place by model.

        "known" is false for an unknown id, which gets the popular list without an explanation.
        """
        held, recipe, record = self._asked(surface, owner)
        answer = self._lists.one(surface, owner, caller)
        shown = _ids(answer.listing, held.items[surface.item])
        about: dict[str, Any] = {"owner": owner, "release": held.id, "as_of": held.release.as_of, "known": False}
        if record is not None:
            folded, owners = folded_for(recipe, owner, record)
            about |= explain(folded, owners, recipe.settings.lists.depth, recipe.settings.lists.depth) | {"known": True}
        named = {*shown, *(place["id"] for place in about.get("list", ()))}
        return about | {"names": self.names(surface.item, named) | self.names(surface.owner, [owner])}

    def record(self, entity: Entity, owner: str) -> OwnerRecord | None:
        """Return what the platform knows about an owner now. None for an unknown id."""
        return self._database.owner(entity, owner, datetime.now(UTC), PAGE)

    def said(self, surface: Surface, owner: str, record: OwnerRecord, places: int) -> dict[str, Any]:
        """Explain the first places of a known owner's list without the features of the ranker."""
        recipe = self._live.recipe(self._lists.releases.held, surface, owner, _OPENING_S)
        folded, owners = folded_for(recipe, owner, record)
        return explain(folded, owners, recipe.settings.lists.depth, places, features=False)

    def why(self, surface: Surface, owner: str, item: str, caller: str) -> dict[str, Any]:
        """Return whether an item is in an owner's list, its place, and in `because` the reason."""
        held, recipe, record = self._asked(surface, owner)
        answer = self._lists.one(surface, owner, caller)
        places = np.flatnonzero(_ids(answer.listing, held.items[surface.item]) == item)
        about: dict[str, Any] = {"item": item, "names": self.names(surface.item, [item]), "release": held.id}
        if len(places):
            return about | {"listed": True, "place": int(places[0]) + 1, "because": "it is in the stored list"}
        return about | {"listed": False} | self._missing(held, recipe, owner, record, item, answer, about["names"])

    def compared(self, surface: Surface, owner: str, release: str) -> dict[str, Any]:
        """Compare the owner's stored lists of the live release and another, place by place.

        Raises RequestError if that release is not in Redis.
        """
        now, before = self._lists.releases.held, self._before()
        if release not in before:
            raise RequestError(
                "unknown_release",
                "release: one of /api/releases other than the live one",
                release,
                "`python -m pipelines releases` lists the stored ones; promoting one loads it",
            )
        then = before[release]
        lists = [self._stored(held, surface, owner) for held in (now, then)]
        place = [{item: i + 1 for i, item in enumerate(ids)} for ids in lists]
        shown = sorted(
            {*lists[0][:COMPARED], *lists[1][:COMPARED]},
            key=lambda item: (place[0].get(item, 10_000), place[1].get(item, 10_000)),
        )
        names, top = self.names(surface.item, shown), [set(ids[:10]) for ids in lists]
        return {
            "now": now.id,
            "then": then.id,
            "overlap_at_10": len(top[0] & top[1]),
            "items": [
                {"id": i, "name": names.get(i, ""), "now": place[0].get(i), "then": place[1].get(i)} for i in shown
            ],
        }

    def _asked(self, surface: Surface, owner: str) -> tuple[HeldRelease, SurfaceRecommender, OwnerRecord | None]:
        held = self._lists.releases.held
        recipe = self._live.recipe(held, surface, owner, _OPENING_S)
        return held, recipe, self.record(surface.owner, owner)

    def _missing(
        self,
        held: HeldRelease,
        recipe: SurfaceRecommender,
        owner: str,
        record: OwnerRecord | None,
        item: str,
        answer: Answer,
        names: dict[str, str],
    ) -> dict[str, Any]:
        surface, row = recipe.surface, int(recipe.items.ids.rows_of([item])[0])
        if row < 0:
            return {"because": self._unknown(held, surface, owner, item, item in names)}
        if record is None:
            return {"because": "the platform does not know this owner; the popular list answers, without the item"}
        if answer.reason:
            return {"because": answer.reason}
        if nobodys := not_shown(recipe, row):
            return {"because": nobodys}
        if self._lists.hidden.holds(surface.item, item):
            return {"because": f"{HIDDEN[surface.item]} since the build"}
        if item in record.own:
            return {"because": _OWN[surface.item]}
        if met := _met(record, item):
            return {"because": "they have met, and what was met is not shown again", "events": met}
        if item in record.dismissed:
            return {"because": f"the pair was dismissed on {instant(record.dismissed[item])}"}
        if since := self._since(surface, owner, item):
            return {"because": since}
        folded, owners = folded_for(recipe, owner, record)
        about = explain_item(folded, owners, recipe.settings.lists.depth, row)
        if about.pop("listed"):
            about["because"] = self._ranked_now(about, recipe, bool(owners.count[0]))
        return about

    def _unknown(self, held: HeldRelease, surface: Surface, owner: str, item: str, named: bool) -> str:
        """Explain why a release does not know an item. named: the platform does."""
        if named:
            return f"it came after this release's cutoff, {held.release.as_of}; the next build can list it"
        kind, wanted = ("person", "startups") if surface.owner is Entity.USER else ("startup", "people")
        if item == owner:
            return f"this is the id of the {kind} whose list it is, and the list has {wanted}"
        if self.names(surface.owner, [item]):
            return f"this is the id of a {kind}, and the list has {wanted}"
        return "the platform does not know this id"

    def _since(self, surface: Surface, owner: str, item: str) -> str:
        """Explain why a posted event hides the pair, also before PostgreSQL has its row. Empty if none does."""
        value = self._cache.field(self._cache.keys.since(surface.owner, owner), UUID(item).bytes)
        if value is None:
            return ""
        code, at_us = since_meaning(value)
        if code == OWN:
            return _OWN[surface.item]
        return f"they have met since the build: {EventType.of_code(code)} on {instant(at_us)}"

    def _ranked_now(self, about: dict[str, Any], recipe: SurfaceRecommender, known: bool) -> str:
        if known and self._lists.releases.held.release.cap(recipe.surface) and about["rank"] <= 10:
            return f"capped: it would be at place {about['rank']}, but it is in enough lists already"
        return (
            f"not in the stored list, which ends at the cutoff; with the events since then it would be at place "
            f"{about['rank']}"
        )

    def _stored(self, held: HeldRelease, surface: Surface, owner: str) -> list[str]:
        """Return the ids of a release's list for this owner, best first. Empty without a list."""
        listing = self._lists.stored(held, surface, owner)
        return [] if listing is None else _ids(listing, held.items[surface.item]).tolist()

    def names(self, entity: Entity, ids: Iterable[str]) -> dict[str, str]:
        """Return the name of each id that the platform knows."""
        return self._database.names(entity, sorted(ids))

    def _before(self) -> dict[str, HeldRelease]:
        """Return the earlier live releases that Redis still has, newest first."""
        live = self._lists.releases.held.id
        names = [name for name in self._cache.listed(self._cache.keys.history) if name != live]
        self._opened = {name: self._opened.get(name) or self._lists.releases.load(name) for name in names}
        return self._opened

    def forget(self, _: HeldRelease) -> None:
        """Drop the earlier releases after a change: an erasure may have replaced all of them."""
        self._opened = {}


def _ids(listing: StoredList, table: ItemTable) -> NDArray[np.str_]:
    return np.asarray(table.ids.text(listing.item))


def _met(record: OwnerRecord, item: str) -> list[dict[str, str]]:
    """Return every event of the owner with the item: dislikes first, then newest first."""
    rows: Sequence[int] = np.flatnonzero(record.item == item).tolist()
    ordered = sorted(rows, key=lambda i: (record.kind[i] == EventType.DISLIKE.code, record.at[i]), reverse=True)
    return [{"kind": EventType.of_code(int(record.kind[i])).value, "at": instant(int(record.at[i]))} for i in ordered]
