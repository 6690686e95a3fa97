"""Lists as files: they hold exactly the stored lists, with names and reasons, and are there whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipelines.list_files as list_files
from models import registry
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.errors import FileError, ReleaseNotFound, ServiceError, SettingsError
from models.lists.ranked_lists import RankedLists
from models.lists.release import popular_list, release_lists
from models.schema import LIST_KINDS, ListKind, Method, Role, Similar, Surface
from models.sentences import sentences
from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.erase.servers import erase_rows, person_of
from pipelines.list_files import EVERYBODY, export_lists, export_live
from pipelines.store.artifacts import Artifacts
from pipelines.store.target import Target
from tests.exit_status import exit_status
from tests.serving.conftest import (
    Execute,
    Person,
    Publish,
    bundles,
    copied,
    execute,
    person,
    planted,
    publish,
    rows,
    scored,
)
from tests.serving.conftest import settings as settings

FIXTURES = (bundles, copied, execute, person, planted, publish, rows, scored)  # pytest finds them in this module
Row = tuple[str, int, str, float, tuple[str, ...], tuple[str, ...], str, str | None, int]
#: Names as people choose them.
ODD = ["=HYPERLINK(1)", "+49", "-", "@all", "\tx", "", 'Zoë "Z" 🚀, A;B\nAG', "  ", "'quoted"]


@pytest.fixture(params=["local", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Any) -> Target:
    name = uuid.uuid4().hex
    if request.param == "s3":
        boto3.client("s3", endpoint_url=request.getfixturevalue("s3")).create_bucket(Bucket=name)
    return Target(str(tmp_path / "lists") if request.param == "local" else f"{request.param}://{name}/lists")


@pytest.fixture
def folder(tmp_path: Any) -> Target:
    return Target(str(tmp_path / "files"))


def stored(settings: Settings, release: str, surface: ListKind, depth: int = 1000) -> set[Row]:
    """Return every place of a surface from the release itself, without the code under test."""
    artifacts = Artifacts(settings)
    made = artifacts.release(release)
    entities = entities_of(artifacts.open_bundle(CATALOGUE, made.bundles[CATALOGUE]))
    owners, items = entities[surface.owner].ids.ids, entities[surface.item]
    ids = items.ids.ids

    def of(lists: RankedLists, known: bool) -> Iterator[Row]:
        for i in range(len(lists)):
            for rank, at in enumerate(range(*lists.row(i).indices(len(lists.item)))[:depth], start=1):
                item, source = int(lists.item[at]), int(lists.source[at])
                told = sentences(int(lists.reason[at]), source, surface.voice, item, items.facets, items.labels)
                ranker = registry.ranker(int(lists.ranker[i]))
                yield (
                    str(owners[lists.owner[i]]) if known else EVERYBODY,
                    rank,
                    str(ids[item]),
                    float(lists.score[at]),
                    tuple(told),
                    tuple(s.name for s in registry.sources() if source & s.bit),
                    Method.of_code(int(lists.method[i])).value,
                    ranker.kind if ranker else None,
                    int(lists.count[i]),
                )

    directory = artifacts.directory(release)
    found = [row for part in release_lists(directory, made, surface) for row in of(part, True)]
    found += of(popular_list(directory, made, surface), False)
    assert len(set(found)) == len(found)
    return set(found)


def table(target: Target, release: str, surface: ListKind) -> pa.Table:
    content = target.read(f"release={release}/surface={surface.folder}/lists.parquet")
    return pq.read_table(io.BytesIO(content or b""))


def rows_of(found: pa.Table) -> list[Row]:
    return [
        (
            r["owner"], r["rank"], r["item"], r["score"], tuple(r["reasons"]), tuple(r["sources"]), r["method"],
            r["ranker"], r["interaction_count"],
        )
        for r in found.to_pylist()
    ]  # fmt: skip


def test_parquet_has_exactly_the_stored_lists(
    settings: Settings, publish: Publish, rows: str, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_files, "BLOCK", 700)  # lists of one shard are in several blocks
    release = Artifacts(settings).release(publish())
    told = export_lists(settings, release, target, "parquet")
    for surface in LIST_KINDS:
        found = table(target, release.id, surface)
        assert len(found) == told["files"][f"surface={surface.folder}/lists.parquet"]
        assert len(rows_of(found)) == len(found) and set(rows_of(found)) == stored(settings, release.id, surface)
        about = {k.decode(): v.decode() for k, v in found.schema.metadata.items() if k.startswith(b"matchbook.")}
        assert about == {
            "matchbook.release": release.id,
            "matchbook.as_of": release.as_of,
            "matchbook.generated_at": release.generated_at,
            "matchbook.digest": release.digest,
            "matchbook.depth": "0",
            "matchbook.surface": surface.value,
        }
    marker = json.loads(target.read(f"release={release.id}/_parquet.json") or b"")
    assert marker == told and marker["digest"] == release.digest
    assert target.folders() == [f"release={release.id}"]


def test_csv_and_json_lines_say_the_same_as_parquet(
    settings: Settings, publish: Publish, rows: str, folder: Target
) -> None:
    release = Artifacts(settings).release(publish())
    for form in ("parquet", "csv", "jsonl"):
        export_lists(settings, release, folder, form, depth=3)
    for surface in LIST_KINDS:
        parquet = table(folder, release.id, surface).to_pylist()
        assert max(r["rank"] for r in parquet) == 3
        text = (folder.read(f"release={release.id}/surface={surface.folder}/lists.csv") or b"").decode()
        told = list(csv.DictReader(io.StringIO(text, newline="")))
        assert list(told[0]) == list(list_files.COLUMNS.names)
        for mine, row in zip(told, parquet, strict=True):
            assert mine["owner"] == row["owner"] and mine["item"] == row["item"] and mine["rank"] == str(row["rank"])
            assert np.float32(mine["score"]) == np.float32(row["score"])
            assert mine["reasons"] == "; ".join(row["reasons"]) and mine["sources"] == "; ".join(row["sources"])
            assert (mine["ranker"] or None, mine["method"]) == (row["ranker"], row["method"])
        lines = (folder.read(f"release={release.id}/surface={surface.folder}/lists.jsonl") or b"").splitlines()
        lists = [json.loads(line) for line in lines]
        everybody = isinstance(surface, Surface)  # nobody gets similar lists without their own
        assert len(lists) == release.lists[surface.value] + everybody
        assert (lists[-1]["owner"] == EVERYBODY) is everybody
        flat = [
            (one["owner"], one["owner_name"], item, name, reasons, sources, one["method"])
            for one in lists
            for item, name, reasons, sources in zip(
                one["items"], one["names"], one["reasons"], one["sources"], strict=True
            )
        ]
        wanted = ("owner", "owner_name", "item", "item_name", "reasons", "sources", "method")
        assert flat == [tuple(r[c] for c in wanted) for r in parquet]


def test_names_are_those_of_the_platform_and_no_formula_of_a_spreadsheet(
    settings: Settings, publish: Publish, rows: str, folder: Target, execute: Execute
) -> None:
    """Parquet and JSON have the text as it is. In CSV an apostrophe stands before what would be a formula."""
    release, surface = Artifacts(settings).release(publish()), Surface.STARTUPS_FOR_DEVELOPER
    known: dict[str, str] = {}
    for i, startup in enumerate(sorted({r[2] for r in stored(settings, release.id, surface)})):
        known[startup] = ODD[i % len(ODD)]
        quoted = known[startup].replace("'", "''")
        execute(f"UPDATE startups SET name = '{quoted}' WHERE id = '{startup}'")
    for form in ("parquet", "csv"):
        export_lists(settings, release, folder, form)
    parquet = table(folder, release.id, surface).to_pylist()
    assert {r["item"]: r["item_name"] for r in parquet} == known and set(known.values()) == set(ODD)
    text = (folder.read(f"release={release.id}/surface={surface.folder}/lists.csv") or b"").decode()
    told = {r["item"]: r["item_name"] for r in csv.DictReader(io.StringIO(text, newline=""))}
    assert told == {i: f"'{name}" if name[:1] in tuple("=+-@\t\r") and name else name for i, name in known.items()}


def test_an_erased_person_has_no_name(
    settings: Settings, publish: Publish, rows: str, folder: Target, execute: Execute, person: Person
) -> None:
    release, gone = Artifacts(settings).release(publish()), person(Role.DEVELOPER, 9)
    execute(f"UPDATE users SET name = 'Somebody' WHERE id = '{gone}'")
    erase_rows(settings, person_of(settings, gone))
    export_lists(settings, release, folder, "parquet")
    found = table(folder, release.id, Surface.STARTUPS_FOR_DEVELOPER).to_pylist()
    assert {r["owner_name"] for r in found if r["owner"] == gone} == {""}


def test_a_release_is_written_once_and_another_depth_replaces_it(
    settings: Settings, publish: Publish, rows: str, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = Artifacts(settings).release(publish())
    told = export_lists(settings, release, target, "parquet")
    with monkeypatch.context() as patch:
        patch.setattr(list_files, "blocks", None)
        assert export_lists(settings, release, target, "parquet") == told
    assert export_lists(settings, release, target, "parquet", depth=1)["depth"] == "1"
    surface = Surface.INVESTORS_FOR_STARTUP
    assert set(rows_of(table(target, release.id, surface))) == stored(settings, release.id, surface, 1)


def test_a_broken_export_leaves_no_half_file_and_no_marker(
    settings: Settings, publish: Publish, rows: str, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, whole = Artifacts(settings).release(publish()), list_files.blocks

    def broken(*given: Any) -> Iterator[Any]:
        (first, found), (second, more) = list(whole(*given))[:2]

        def half() -> Iterator[Any]:
            yield next(more)
            raise MemoryError("stopped")

        yield first, found
        yield second, half()

    with monkeypatch.context() as patch:
        patch.setattr(list_files, "blocks", broken)
        with pytest.raises((MemoryError, ServiceError)):
            export_lists(settings, release, target, "parquet")
    filesystem, base = target._opened
    there = [f.rpartition("release=")[2].partition("/")[2] for f in filesystem.find(base)]
    assert there == [f"surface={next(iter(Surface)).folder}/lists.parquet"]
    export_lists(settings, release, target, "parquet")
    for surface in LIST_KINDS:
        assert set(rows_of(table(target, release.id, surface))) == stored(settings, release.id, surface)


def test_a_large_file_appears_in_object_storage_when_its_upload_is_committed(s3: str) -> None:
    boto3.client("s3", endpoint_url=s3).create_bucket(Bucket="large")
    target, content = Target("s3://large/lists"), np.random.default_rng(0).bytes(120 << 20)  # parts have 50 MB
    with pytest.raises(ServiceError, match="target of the lists"), target.file("a/b") as file:
        file.write(content)
        raise MemoryError("stopped")
    assert target.read("a/b") is None
    with target.file("a/b") as file:
        for at in range(0, len(content), 1 << 20):
            file.write(content[at : at + (1 << 20)])
        assert target.read("a/b") is None
    assert target.read("a/b") == content


def test_unusable_targets_say_why(settings: Settings, publish: Publish, rows: str, tmp_path: Any, s3: str) -> None:
    release = Artifacts(settings).release(publish())
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        export_lists(settings, release, Target(str(tmp_path / "file" / "lists")), "csv")
    with pytest.raises(ServiceError, match="the target of the lists s3://absent is not there"):
        export_lists(settings, release, Target("s3://absent"), "csv")
    with pytest.raises(ServiceError, match="nonsense"):
        export_lists(settings, release, Target("nonsense://x"), "csv")


def test_the_live_release_is_exported_and_exports_of_gone_releases_are_removed(
    settings: Settings, publish: Publish, rows: str, target: Target
) -> None:
    with pytest.raises(SettingsError, match="lists_export"):
        export_live(settings)
    settings = settings.layered({"lists_export_target": target.url, "lists_export_format": "csv"}, "given")
    with pytest.raises(ReleaseNotFound, match="no release is live"):
        export_live(settings)
    first, second = publish(day=10), publish(day=11, backwards=True)
    with pytest.raises(ReleaseNotFound, match=first):
        export_live(settings, "absent")
    assert export_live(settings, first)["release"] == first
    assert export_live(settings)["release"] == second
    assert json.loads(target.read("_live.json") or b"") == {"release": second}
    assert target.folders() == [f"release={first}", f"release={second}"]
    Artifacts(settings).remove("releases", first)
    target.write("release=other-tool.txt", b"")  # a file, not a folder of ours
    assert export_live(settings)["removed"] == [first]
    assert target.folders() == [f"release={second}"]


def test_the_command_prints_a_surface_or_writes_all(
    settings: Settings,
    publish: Publish,
    rows: str,
    tmp_path: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = publish()
    for name, value in {
        "MATCHBOOK_HOME": str(settings.home),
        "MATCHBOOK_NAMESPACE": settings.namespace,
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
    }.items():
        monkeypatch.setenv(name, value)
    call: Callable[..., int] = lambda *args: main(["lists", *args])  # noqa: E731
    surface = Surface.DEVELOPERS_FOR_STARTUP
    assert call("--surface", surface, "--depth", "2") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(one["owner"], i + 1, item) for one in lines for i, item in enumerate(one["items"])} == {
        row[:3] for row in stored(settings, release, surface, 2)
    }
    assert call("--surface", surface, "--depth", "0") == 0
    whole = capsys.readouterr().out
    assert call("--surface", surface) == 0 and capsys.readouterr().out == whole
    assert list(lines[0])[:6] == ["owner", "items", "scores", "method", "ranker", "sources"]
    assert call("--to", str(tmp_path / "out"), "--format", "csv", "--release", release) == 0
    assert json.loads(capsys.readouterr().out)["release"] == release
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.csv")) == ["lists.csv"] * len(LIST_KINDS)
    assert call("--surface", surface, "--release", "absent") == 1
    assert "no release 'absent'" in capsys.readouterr().err
    for wrong in (
        [],
        ["--surface", surface, "--to", "x"],
        ["--surface", surface, "--format", "csv"],
        ["--to", "x", "--profiles", "users.csv"],
        ["--surface", surface, "--depth", "-1"],
        ["--surface", Similar.USERS, "--profiles", "users.csv"],
    ):
        assert exit_status(["lists", *wrong]) == 2
