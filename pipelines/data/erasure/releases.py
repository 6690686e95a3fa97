"""A stored release without a person: no list of theirs, no place in anybody's list, bundles and snapshot replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from models.nouns.catalogue import CATALOGUE
from models.nouns.release import Release
from models.nouns.release.files import popular_list, release_lists
from models.schema import Entity, Surface
from pipelines.artifacts import BUNDLES, HOLDOUTS, Artifacts
from pipelines.data.erasure.person import Person
from pipelines.release.store import store_release


def rewrite_releases(artifacts: Artifacts, person: Person, successors: Mapping[str, str]) -> dict[str, str]:
    """Store a successor of every release that was made with what has been replaced; returns release -> its successor.

    successors: of bundles and snapshots, those replaced by an erasure that was cut off included.
    """
    found = {}
    for release in artifacts.releases():
        bundles = {name: _newer(successors, f"{BUNDLES}/{name}", v) for name, v in release.bundles.items()}
        judged = {name: _newer(successors, f"{HOLDOUTS}/{name}", v) for name, v in release.judged.items()}
        snapshot = _newer(successors, "snapshots", release.snapshot)
        draft = replace(release, bundles=bundles, judged=judged, snapshot=snapshot)
        if draft != replace(release, bundles=dict(release.bundles), judged=dict(release.judged)):
            found[release.id] = _rewrite_release(artifacts, release, person, draft)
    return found


def _newer(successors: Mapping[str, str], kind: str, name: str) -> str:
    return successors.get(f"{kind}/{name}", f"{kind}/{name}").rpartition("/")[2]


def _rewrite_release(artifacts: Artifacts, release: Release, person: Person, draft: Release) -> str:
    maps = artifacts.open_bundle(CATALOGUE, release.bundles[CATALOGUE]).maps
    row = {e: int(maps[e.value].rows_of([person.id])[0]) for e in Entity}
    directory = artifacts.directory(release.id)
    surfaces = [s for s in Surface if s.value in release.lists]
    lists = {s: [p.without(row[s.owner], row[s.item]) for p in release_lists(directory, release, s)] for s in surfaces}
    popular = {s: popular_list(directory, release, s).without(-1, row[s.item]) for s in surfaces}
    draft = replace(draft, erased=[*release.erased, person.mark], replaces=release.id)
    return store_release(artifacts, draft, release.id.rsplit("-", 1)[0], lists, popular).id
