"""The digest of a release covers what readers serve. Releases of older versions keep their own rule."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import pipelines.publish.assemble as assemble
from models.errors import ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import Keys, encode_lists
from models.lists.release import DIGEST_FORMAT, DIGEST_FORMATS, MANIFEST, Release, popular_list, release_lists
from models.schema import LIST_KINDS, ListKind, Surface
from pipelines.publish.assemble import assemble_release, store_release
from pipelines.publish.history import promote, rollback
from pipelines.publish.lease import lease
from pipelines.publish.load import Loadable, load, verify_loaded
from pipelines.publish.publish import publish_release
from pipelines.redis_client import connect, current_release
from pipelines.store.artifacts import Artifacts
from tests.pipelines.conftest import Town


def backwards(lists: RankedLists) -> RankedLists:
    """Turn the first list around."""
    items, end = lists.item.copy(), lists.indptr[1]
    items[:end] = items[:end][::-1]
    return replace(lists, item=items)


def parts_of(artifacts: Artifacts, release: Release) -> dict[ListKind, list[RankedLists]]:
    directory = artifacts.directory(release.id)
    return {kind: list(release_lists(directory, release, kind)) for kind in release.kinds}


def popular_of(artifacts: Artifacts, release: Release) -> dict[ListKind, RankedLists]:
    return {kind: popular_list(artifacts.directory(release.id), release, kind) for kind in release.kinds}


def of_older_version(artifacts: Artifacts, release: Release) -> str:
    """Store the lists of a release as versions without `digest_format` did; return its id."""
    whole = hashlib.sha256()
    parts = parts_of(artifacts, release)
    for kind in release.kinds:
        whole.update(kind.value.encode())
        for value in (v for part in parts[kind] for v in encode_lists(part)):
            whole.update(value)
    name = f"{release.id.rpartition('-')[0]}-{whole.hexdigest()[:8]}"
    older = artifacts.directory(release.id).rename(artifacts.directory(name))
    fields: dict[str, Any] = json.loads((older / MANIFEST).read_bytes())
    fields |= {"id": name, "digest": whole.hexdigest()}
    del fields["digest_format"], fields["sha256"]
    fields["sha256"] = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    (older / MANIFEST).write_text(json.dumps(fields))
    return name


def test_a_rebuild_with_other_popular_lists_is_another_release(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    run = town.run()
    build, done = town.score(run)
    first, made, surface = assemble_release(run, build, done), assemble._popular, Surface.STARTUPS_FOR_INVESTOR

    def other(kind: ListKind, *more: Any) -> RankedLists:
        return backwards(made(kind, *more)) if kind is surface else made(kind, *more)

    monkeypatch.setattr(assemble, "_popular", other)
    again = assemble_release(run, build, done)
    assert again.release != first.release
    one, two = (popular_of(run.artifacts, run.artifacts.release(r.release))[surface].item for r in (first, again))
    assert len(one) > 1 and np.array_equal(one, two[::-1])


def test_everything_that_readers_serve_changes_the_id(town: Town) -> None:
    artifacts = Artifacts(town.settings)
    release = artifacts.release(town.build())
    lists, popular = parts_of(artifacts, release), popular_of(artifacts, release)

    def stored(draft: Release = release, **changed: Any) -> str:
        given: dict[str, Any] = {"lists": lists, "popular": popular} | changed
        return store_release(artifacts, draft, release.id.rpartition("-")[0], **given).id

    assert stored() == release.id and set(lists) == set(LIST_KINDS)
    others = [stored(lists=lists | {kind: [backwards(lists[kind][0]), *lists[kind][1:]]}) for kind in LIST_KINDS]
    others += [stored(popular=popular | {kind: backwards(popular[kind])}) for kind in Surface]
    others += [
        stored(replace(release, settings={**release.settings, "depth": 1})),
        stored(replace(release, experiments=[{"name": "one"}])),
        stored(replace(release, erased=["mark"])),
    ]
    name, version = next(iter(artifacts.release(town.build(days=1)).bundles.items()))
    others.append(stored(replace(release, bundles={**release.bundles, name: version})))
    assert len({release.id, *others}) == 1 + len(others)


def test_a_release_of_an_older_version_is_promoted_verified_and_the_way_back(town: Town) -> None:
    artifacts = Artifacts(town.settings)
    older = of_older_version(artifacts, artifacts.release(town.build()))
    assert artifacts.release(older).digest_format == 1
    assert promote(town.settings, older).published and current_release(town.settings) == older
    newer = town.build(days=1)
    assert artifacts.release(newer).digest_format == DIGEST_FORMAT
    assert publish_release(town.settings, newer).published
    assert rollback(town.settings).release == older == current_release(town.settings)
    loadable = Loadable.open(artifacts, older)
    with lease(connect(town.settings), Keys(town.settings.namespace)) as held:
        load(town.settings, held, loadable)
        assert verify_loaded(held, loadable) == ""
        other = replace(loadable, manifest=replace(loadable.manifest, digest_format=DIGEST_FORMAT))
        assert "expected lists of digest" in verify_loaded(held, other)
    assert town.build() != older


@pytest.mark.parametrize("digest_format", [0, -1, DIGEST_FORMATS[-1] + 1, "2", None])
def test_an_unknown_format_of_the_digest_is_refused(town: Town, digest_format: object) -> None:
    release = replace(Artifacts(town.settings).release(town.build()), digest_format=digest_format)  # type: ignore[arg-type]
    with pytest.raises(ReleaseIncomplete, match="digest_format"):
        Release.from_json(release.to_json())
