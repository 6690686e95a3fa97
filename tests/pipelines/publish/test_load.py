"""Refuse a release that was truncated or changed on disk, with a clear error. The live one stays."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from models.catalogue.catalogue import CATALOGUE
from models.errors import BundleError, ReleaseError, ReleaseIncomplete
from pipelines.publish.history import promote
from pipelines.publish.publish import publish_release
from pipelines.redis_client import current_release
from pipelines.store.artifacts import Artifacts
from tests.pipelines.conftest import Town


def files(town: Town, release: str) -> dict[str, Path]:
    """Return one file of every kind that publishing reads."""
    artifacts = Artifacts(town.settings)
    version, folder = artifacts.release(release).bundles[CATALOGUE], artifacts.directory(release)
    bundle = artifacts.root / "bundles" / CATALOGUE / version
    return {
        "shard": folder / "startups-for-developer" / "0000.npz",
        "popular": folder / "investors-for-startup" / "popular.npz",
        "manifest": folder / "manifest.json",
        "array": bundle / f"{CATALOGUE}_user_role.npy",
        "mapping": bundle / f"{CATALOGUE}_user_mapping.json",
        "config": bundle / f"{CATALOGUE}_config.json",
    }


@pytest.mark.parametrize("kind", ["shard", "popular", "manifest", "array", "mapping", "config"])
@pytest.mark.parametrize("harm", ["truncated", "tampered", "missing"])
def test_a_damaged_file_keeps_a_release_from_becoming_live(town: Town, kind: str, harm: str) -> None:
    first, second = town.build(days=0), town.build(days=1)
    publish_release(town.settings, first)
    path = files(town, second)[kind]
    body = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        # one digit changes, so JSON stays valid
        place = max(body.rfind(c, 0, -40) for c in b"123456789") if path.suffix == ".json" else len(body) // 2
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        path.write_bytes(body[:-7] if harm == "truncated" else changed)

    with pytest.raises((ReleaseError, BundleError), match=r"roll back|promote another|train it|stored are"):
        promote(town.settings, second)
    assert current_release(town.settings) == first


def test_a_manifest_of_another_release_under_this_name_is_refused(town: Town) -> None:
    first, second = town.build(days=0), town.build(days=1)
    artifacts = Artifacts(town.settings)
    (artifacts.directory(second) / "manifest.json").write_bytes(
        (artifacts.directory(first) / "manifest.json").read_bytes()
    )
    with pytest.raises(ReleaseIncomplete, match=first):
        publish_release(town.settings, second)


def test_a_manifest_changed_by_hand_is_refused_though_it_is_json(town: Town) -> None:
    release = town.build()
    path = Artifacts(town.settings).directory(release) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"as_of": "2030-01-01T00:00:00+00:00"}))
    with pytest.raises(ReleaseIncomplete, match="was changed since it was written"):
        publish_release(town.settings, release)


def test_only_the_owner_may_read_stored_files(town: Town) -> None:
    """L03: mode 0600 in 0700."""
    publish_release(town.settings, town.build())
    everything = [p for kind in ("bundles", "releases") for p in (town.settings.artifacts / kind).rglob("*")]
    files = {stat.S_IMODE(p.stat().st_mode) for p in everything if p.is_file()}
    leaves = {stat.S_IMODE(p.parent.stat().st_mode) for p in everything if p.is_file()}
    assert files == {0o600} and leaves == {0o700}
