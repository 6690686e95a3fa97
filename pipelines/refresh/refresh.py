"""The steps of a refresh. Each takes the previous step's reference and can be repeated."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.bundle import sha256_of
from models.data.entities import IdMap
from models.data.interactions import Interactions, Pairs
from models.data.mapped import read_arrays
from models.errors import ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import Keys
from models.lists.release import REFRESHED
from models.recommender.surface import open_bundles, open_recommender
from models.schema import Entity, ListKind, Surface
from models.settings.settings import Settings
from pipelines.publish.lease import lease
from pipelines.publish.load import Loadable, load
from pipelines.publish.publish import drop_unfinished, keep_loaded, note_publish, switch
from pipelines.redis_client import connect, current_release, decoded, redis_errors
from pipelines.refresh.changes import Changes, find_changes
from pipelines.refresh.merge import OwnersToRescore, changed, extend_bundles, merged, rescore, similar_again
from pipelines.refs import ChangesRef, PublishRef, RefreshedRef, RescoredRef
from pipelines.run.run import Run, parse_instant
from pipelines.store.artifacts import Artifacts

log = logging.getLogger(__name__)


def publish_refresh(settings: Settings, release: str) -> PublishRef:
    """Load a refreshed release and make it live, if the release that it refreshes is still live.

    It replaces that release, so a rollback leads to the same builds as before. Returns and raises as `publish_release`.
    """
    loadable = Loadable.open(Artifacts(settings), release)
    with redis_errors("publishing a refresh"):
        client, keys = connect(settings), Keys(settings.namespace)
        with lease(client, keys) as held:
            live, refreshes = decoded(client.get(keys.current)), loadable.manifest.replaces
            if live not in (refreshes, release):
                reason = f"{live or 'nothing'} is live by now, not {refreshes}, the source of this refresh"
                log.info("refresh not published id=%s reason=%s", release, reason)
                return PublishRef(False, release, reason, live)
            drop_unfinished(held, keep=release)
            done = PublishRef(True, release, REFRESHED, refreshes, **load(settings, held, loadable))
            if live != release:
                switch(held, loadable.manifest, replaces=refreshes)
                note_publish(settings, done)
    log.info("refresh published %s", done.as_json())
    return done


def renew_expiry(settings: Settings) -> int:
    """Restart the expiry of loaded releases when no list has to change; return their number."""
    with redis_errors("keeping the live lists"):
        client, keys = connect(settings), Keys(settings.namespace)
        with lease(client, keys) as held:
            return keep_loaded(settings, held)


def look_for_changes(settings: Settings, run_id: str, as_of: datetime) -> ChangesRef:
    """Find changes before `as_of` that the live release lacks; stage them for the next step."""
    live = current_release(settings)
    if live is None:
        return ChangesRef("no release is live: build_recommendations comes first")
    run = Run.refreshing(settings, run_id, as_of, live)
    release = run.artifacts.release(live)
    found = ChangesRef("", run.id, as_of.isoformat(), live)
    if parse_instant(release.as_of) >= as_of:
        return replace(found, reason=f"the live release {live} knows everything before {release.as_of} already")
    changes = find_changes(run.settings, release, as_of)
    found = replace(
        found,
        again={e.value: len(r) for e, r in changes.again.items()},
        new={e.value: len(n) for e, n in changes.new.items()},
        unknown_events=changes.unknown,
    )
    if changes.nothing:
        renew_expiry(settings)
        return replace(found, reason=f"nothing happened since {release.as_of}: every list is current")
    bundles = extend_bundles(run, release.bundles, changes)
    _stage(run, changes, {e.value: len(changes.entities[e]) - len(changes.new[e]) for e in Entity})
    log.info("refresh of %s before %s: again %s, new %s", live, found.as_of, found.again, found.new)
    return replace(found, bundles=bundles)


def make_lists(settings: Settings, ref: ChangesRef) -> dict[str, RescoredRef]:
    """Make and stage the lists of all affected owners; return references by surface."""
    run = Run.open(settings, ref.run)
    bundles = open_bundles(settings.artifacts, ref.bundles, run.settings)
    again = _staged(run, {e: x.ids for e, x in entities_of(bundles[CATALOGUE]).items()})
    made = {}
    for kind in run.artifacts.release(ref.refreshes).kinds:
        if isinstance(kind, Surface):
            recipe = open_recommender(kind, bundles, run.settings)
            lists, reached = rescore(recipe, bundles, again, settings.refresh.reach)
        else:
            lists, reached = similar_again(kind, bundles, run.settings, again), 0
        path = _lists_file(run, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        lists.save(path)
        made[kind.value] = RescoredRef(len(lists), reached, sha256_of(path))
    log.info("lists made again: %s", made)
    return made


def merge(settings: Settings, ref: ChangesRef, made: Mapping[str, RescoredRef]) -> RefreshedRef:
    """Store the refreshed release. Raises as `merged`."""
    run = Run.open(settings, ref.run)
    before = run.artifacts.release(ref.refreshes)
    lists = {}
    for kind in before.kinds:
        path = _lists_file(run, kind)
        if not path.is_file() or sha256_of(path) != made[kind.value].sha256:
            raise ReleaseIncomplete(f"{path} is missing or was changed after it was made; make the lists again")
        lists[kind] = RankedLists.open(path)
    after = merged(run, before, ref.bundles, lists)
    log.info("refresh stored id=%s refreshes=%s", after.id, before.id)
    return RefreshedRef(after.id, before.id, after.digest, changed(before, after))


def refresh(settings: Settings, run_id: str, as_of: datetime, publish: bool = True) -> dict[str, Any]:
    """Run all steps; return their reports."""
    ref = look_for_changes(settings, run_id, as_of)
    if ref.reason:
        return {"published": False, **ref.as_json()}
    made = make_lists(settings, ref)
    stored = merge(settings, ref, made)
    told = {
        "as_of": ref.as_of,
        "again": ref.again,
        "new": ref.new,
        "made": {surface: one.as_json() for surface, one in made.items()},
        **stored.as_json(),
    }
    if not publish:
        return {"published": False, **told, "reason": "stored only"}
    return {**told, **publish_refresh(settings, stored.release).as_json()}


def _stage(run: Run, changes: Changes, known: Mapping[str, int]) -> None:
    events, path = changes.events, run.directory / "changes.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "owner": events.owner,
        "item": events.item,
        "kind": events.kind,
        "at": events.at,
        **{f"dismissed_{name}": column for name, column in events.dismissed._asdict().items()},
        **{f"{e}_again": changes.again[e] for e in Entity},
        **{f"{e}_known": np.array(known[e.value]) for e in Entity},
    }
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)
    path.chmod(0o600)
    # by id, so that an erasure finds and removes staging with a person's text
    words = {
        e.value: dict(zip(changes.entities[e].ids.text(told).tolist(), changes.text[e][told].tolist(), strict=True))
        for e in Entity
        for told in [changes.text[e] != ""]
    }
    run.artifacts.write_json(run.directory / "words.json", words)


def _staged(run: Run, ids: Mapping[Entity, IdMap]) -> OwnersToRescore:
    words = json.loads((run.directory / "words.json").read_text())
    with (run.directory / "changes.npz").open("rb") as f:
        z = read_arrays(f)
    gone = Pairs(*(z[f"dismissed_{name}"] for name in Pairs._fields))
    events = Interactions(ids[Entity.USER], ids[Entity.STARTUP], z["owner"], z["item"], z["kind"], z["at"], gone)
    rows = {e: z[f"{e}_again"] for e in Entity}
    known = {e: int(z[f"{e}_known"]) for e in Entity}
    text = {e: np.full(len(ids[e]), "", object) for e in Entity}
    for e in Entity:
        text[e][ids[e].rows_of(list(words[e.value]))] = list(words[e.value].values())
    return OwnersToRescore(rows, events, text, known)


def _lists_file(run: Run, kind: ListKind) -> Path:
    return run.directory / "lists" / f"{kind.folder}.npz"
