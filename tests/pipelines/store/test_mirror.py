"""Mirror artefacts to object storage (MATCHBOOK_ARTIFACTS): two homes see the same store."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from models.errors import DataError, ServiceError
from models.object_storage import COMPLETE, WHOLE, Storage, download
from models.settings.settings import Settings
from pipelines.store.artifacts import Artifacts, copy_artifacts
from pipelines.store.mirror import EVERY, pull, push

KIND, NAME = "bundles/als_v1", "20240501T000000Z-0123abcd"


@pytest.fixture(params=["memory", "local", "s3"])
def machines(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Settings]]:
    """Yield two homes with one storage. Two kinds have no directories, one is a disk used as storage."""
    name = uuid.uuid4().hex
    if request.param == "s3":
        boto3.client("s3", endpoint_url=request.getfixturevalue("s3")).create_bucket(Bucket=name)
    url = f"local://{tmp_path}/storage" if request.param == "local" else f"{request.param}://{name}"
    one, other = (
        Settings.from_env({"MATCHBOOK_HOME": str(tmp_path / home), "MATCHBOOK_ARTIFACTS": url})
        for home in ("one", "other")
    )
    yield one, other


def placed(settings: Settings, kind: str = KIND, name: str = NAME) -> Path:
    def fill(directory: Path) -> None:
        (directory / "deep").mkdir()
        (directory / "a.json").write_text('{"a": 1}')
        (directory / "deep" / "b.npy").write_bytes(bytes(range(256)))

    return Artifacts(settings).place(kind, name, fill)


def test_what_one_machine_stores_the_other_has_before_its_next_step(machines: tuple[Settings, Settings]) -> None:
    one, other = machines
    mine = placed(one)
    assert not (other.artifacts / KIND).exists()
    pull(other)
    theirs = other.artifacts / KIND / NAME
    files = sorted(p.relative_to(mine) for p in mine.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(theirs) for p in theirs.rglob("*") if p.is_file())
    assert all((mine / f).read_bytes() == (theirs / f).read_bytes() for f in files)
    assert [p.name for p in Artifacts(other).stored(KIND)] == [NAME]


def test_a_reader_fetches_only_what_it_names(machines: tuple[Settings, Settings]) -> None:
    one, other = machines
    placed(one)
    placed(one, "snapshots", "s-1")
    download(other, f"{KIND}/{NAME}")
    assert (other.artifacts / KIND / NAME / "a.json").is_file() and not (other.artifacts / "snapshots").exists()


def test_an_incomplete_upload_is_not_visible(machines: tuple[Settings, Settings]) -> None:
    one, other = machines
    placed(one)
    storage = Storage.from_settings(one)
    assert storage is not None
    storage.filesystem.rm(storage.place(f"{WHOLE}/{KIND}/{NAME}/{COMPLETE}"))
    pull(other)
    download(other, f"{KIND}/{NAME}")
    assert not (other.artifacts / KIND / NAME).exists()


def test_a_file_that_is_not_what_was_stored_is_refused_and_nothing_is_left(machines: tuple[Settings, Settings]) -> None:
    one, other = machines
    placed(one)
    storage = Storage.from_settings(one)
    assert storage is not None
    storage.filesystem.pipe_file(storage.place(f"{WHOLE}/{KIND}/{NAME}/a.json"), b'{"a": 2}')
    with pytest.raises(ServiceError, match="sha256 differs"):
        pull(other)
    assert not (other.artifacts / KIND / NAME).exists()
    assert not [p for p in (other.artifacts / KIND).iterdir() if p.name.startswith(".")]


def test_what_is_removed_on_one_machine_goes_from_the_other(machines: tuple[Settings, Settings]) -> None:
    """Retirement and erasure remove every copy."""
    one, other = machines
    placed(one)
    placed(one, KIND, "kept")
    pull(other)
    Artifacts(one).remove(KIND, NAME)
    assert [p.name for p in Artifacts(one).stored(KIND)] == ["kept"]
    pull(other)
    assert [p.name for p in Artifacts(other).stored(KIND)] == ["kept"]


def test_both_may_store_the_same(machines: tuple[Settings, Settings]) -> None:
    one, other = machines
    first, second = placed(one), placed(other)
    pull(one)
    pull(other)
    assert (first / "a.json").read_text() == (second / "a.json").read_text()


def test_staging_of_a_run_travels_with_the_run_and_no_other(machines: tuple[Settings, Settings]) -> None:
    one, other = machines
    for run in ("mine", "another"):
        Artifacts(one).write_json(one.artifacts / "runs" / run / "run.json", {"id": run})
        push(one, run)
    placed(one, "runs/mine/holdout", "als_v1")
    pull(other, "mine")
    assert json.loads((other.artifacts / "runs" / "mine" / "run.json").read_text()) == {"id": "mine"}
    assert (other.artifacts / "runs" / "mine" / "holdout" / "als_v1" / "a.json").is_file()
    assert not (other.artifacts / "runs" / "another").exists()
    shard = other.artifacts / "runs" / "mine" / "shards" / "0001.npz"
    shard.parent.mkdir()
    shard.write_bytes(b"lists")
    push(other, "mine")
    pull(one, "mine")
    assert (one.artifacts / "runs" / "mine" / "shards" / "0001.npz").read_bytes() == b"lists"
    shard.write_bytes(b"lists, scored again")
    push(other, "mine")
    pull(one, EVERY)
    assert (one.artifacts / "runs" / "mine" / "shards" / "0001.npz").read_bytes() == b"lists, scored again"


def test_a_run_that_was_retired_elsewhere_goes(machines: tuple[Settings, Settings]) -> None:
    one, other = machines
    Artifacts(one).write_json(one.artifacts / "runs" / "old" / "run.json", {})
    push(one, "old")
    pull(other, "old")
    Artifacts(one).remove("runs", "old")
    pull(other)
    assert not (other.artifacts / "runs" / "old" / "run.json").exists()


def test_lines_that_two_machines_add_are_all_kept(machines: tuple[Settings, Settings]) -> None:
    one, other = machines
    for settings, line in ((one, "first"), (other, "second")):
        settings.artifacts.mkdir(parents=True, exist_ok=True)
        with (settings.artifacts / "publishes.jsonl").open("a") as f:
            f.write(f"{line}\n")
        push(settings)
    pull(one)
    for settings in machines:
        assert (settings.artifacts / "publishes.jsonl").read_text().splitlines() == ["first", "second"]
    push(one)
    pull(other)
    assert (other.artifacts / "publishes.jsonl").read_text().splitlines() == ["first", "second"]


def test_a_storage_that_does_not_answer_is_named(machines: tuple[Settings, Settings]) -> None:
    away = replace(machines[0], artifacts_place="nosuchprotocol://bucket")
    with pytest.raises(ServiceError, match="nosuchprotocol"):
        pull(away)


@pytest.mark.parametrize(
    ("place", "where"), [("", "home/artifacts"), ("{}/shared", "shared"), ("file://{}/shared", "shared")]
)
def test_a_directory_that_all_see_is_the_store_itself(tmp_path: Path, place: str, where: str) -> None:
    settings = Settings.from_env(
        {"MATCHBOOK_HOME": str(tmp_path / "home"), "MATCHBOOK_ARTIFACTS": place.format(tmp_path)}
    )
    assert settings.artifacts == tmp_path / where and settings.artifacts_url == ""
    assert placed(settings).is_relative_to(tmp_path / where)
    pull(settings)
    push(settings)
    assert not (tmp_path / where / ".stored").exists()


def test_builds_before_the_storage_are_copied_whole(machines: tuple[Settings, Settings]) -> None:
    """Builds stay local until then. Single files would reach other machines one by one."""
    one, other = machines
    before = replace(one, artifacts_place="")
    assert before.artifacts == one.artifacts
    kinds = ("snapshots", "releases", "bundles/als_v1", "holdouts/als_v1")
    for kind in kinds:
        placed(before, kind)
    (before.artifacts / "publishes.jsonl").write_text("{}\n")
    push(one, EVERY)
    pull(other, EVERY)
    assert not [kind for kind in kinds if (other.artifacts / kind).exists()]
    for _ in range(2):  # the second time does nothing
        assert copy_artifacts(one, before.artifacts) == sorted(f"{kind}/{NAME}" for kind in kinds)
    push(one, EVERY)
    pull(other, EVERY)
    assert all(Artifacts(other).stored(kind) for kind in kinds) and (other.artifacts / "publishes.jsonl").is_file()


def test_a_store_moves_from_folder_to_folder_and_an_empty_one_is_named(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    old, new = (
        Settings.from_env({"MATCHBOOK_HOME": home, "MATCHBOOK_ARTIFACTS": str(tmp_path / where)})
        for where in ("old", "new")
    )
    with pytest.raises(DataError, match="found none"):
        copy_artifacts(new, old.artifacts)
    mine = placed(old)
    copy_artifacts(new, old.artifacts)
    assert (new.artifacts / KIND / NAME / "a.json").read_bytes() == (mine / "a.json").read_bytes()


def test_the_copy_of_a_storage_may_lie_elsewhere_than_a_home_that_is_read_only(
    machines: tuple[Settings, Settings], tmp_path: Path
) -> None:
    one, other = machines
    placed(one)
    reader = replace(other, artifacts_copy=str(tmp_path / "copy"))
    download(reader, f"{KIND}/{NAME}")
    assert (tmp_path / "copy" / KIND / NAME / "a.json").is_file() and not other.home.exists()
    assert replace(one, artifacts_place="", artifacts_copy=str(tmp_path / "copy")).artifacts == one.home / "artifacts"
