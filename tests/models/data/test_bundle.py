"""Read a bundle back unchanged, keep it private to its owner, refuse it after any change."""

from __future__ import annotations

import json
import stat
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.data.bundle import Bundle, open_bundle, write_bundle
from models.data.entities import IdMap
from models.data.mapped import LEAST_BYTES
from models.errors import BundleCorrupt, BundleNotFound
from tests.paths import GOLDEN

GOLDEN_FILE = GOLDEN / "bundle_1"


def example() -> Bundle:
    users = IdMap.from_ids(str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))) for i in range(3))
    return Bundle(
        "als_v1",
        {"factors": 2, "as_of": "2024-05-01T00:00:00+00:00"},
        {"user_factors": np.arange(6, dtype=np.float32).reshape(3, 2)},
        {"user": users},
        {"als_v1.txt": b"more"},
    )


def test_a_bundle_is_read_back_unchanged(tmp_path: Path) -> None:
    write_bundle(example(), tmp_path)
    found = open_bundle("als_v1", tmp_path)

    assert found.digest() == example().digest()
    assert found.version == tmp_path.name and found.files["als_v1.txt"] == b"more"


def test_files_have_the_required_names_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    write_bundle(example(), tmp_path)

    assert {p.name for p in tmp_path.iterdir()} == {
        "als_v1_config.json",
        "als_v1_user_factors.npy",
        "als_v1_user_mapping.json",
        "als_v1.txt",
    }
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("file", ["als_v1_user_factors.npy", "als_v1_user_mapping.json", "als_v1.txt"])
@pytest.mark.parametrize("harm", ["truncated", "tampered", "missing"])
def test_a_damaged_file_is_refused(tmp_path: Path, file: str, harm: str) -> None:
    write_bundle(example(), tmp_path)
    path = tmp_path / file
    body = path.read_bytes()
    path.unlink() if harm == "missing" else path.write_bytes(body[:-1] if harm == "truncated" else body[:-1] + b"\x7f")

    with pytest.raises(BundleCorrupt, match=file):
        open_bundle("als_v1", tmp_path)


@pytest.mark.parametrize("harm", ["another factor", "another name of an array", "a part left out"])
def test_a_different_manifest_is_refused(tmp_path: Path, harm: str) -> None:
    write_bundle(example(), tmp_path)
    path = tmp_path / "als_v1_config.json"
    manifest = json.loads(path.read_bytes())
    if harm == "another factor":
        manifest["config"]["factors"] = 3
    elif harm == "another name of an array":
        manifest["arrays"] = ["item_factors"]
    else:
        manifest.pop("maps")
    path.write_text(json.dumps(manifest))

    with pytest.raises(BundleCorrupt, match=r"als_v1_config\.json"):
        open_bundle("als_v1", tmp_path)


@pytest.mark.parametrize("name", ["als_v1_user_factors.npy", "als_v1_config.json", ""])
def test_files_that_others_may_write_are_refused(tmp_path: Path, name: str) -> None:
    write_bundle(example(), tmp_path)
    (tmp_path / name).chmod(0o777)

    with pytest.raises(BundleCorrupt, match="may be written by anybody"):
        open_bundle("als_v1", tmp_path)


def test_files_that_others_may_read_are_reported_and_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A checkout or a copy has the modes of its umask; reading it does no harm (L03)."""
    write_bundle(example(), tmp_path)
    open_bundle("als_v1", tmp_path)
    assert not caplog.records
    (tmp_path / "als_v1_user_mapping.json").chmod(0o644)
    open_bundle("als_v1", tmp_path)
    assert "chmod -R go=" in caplog.text


def test_no_bundle_and_no_manifest_and_another_format(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFound, match="als_v1"):
        open_bundle("als_v1", tmp_path)
    (tmp_path / "als_v1_config.json").write_text("{")
    with pytest.raises(BundleCorrupt, match="is not a bundle manifest"):
        open_bundle("als_v1", tmp_path)
    (tmp_path / "als_v1_config.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(BundleCorrupt, match="99"):
        open_bundle("als_v1", tmp_path)


def large() -> Bundle:
    return replace(example(), arrays={"user_factors": np.ones((LEAST_BYTES // 4, 2), np.float32)})


def test_large_arrays_are_mapped_and_read_only(tmp_path: Path) -> None:
    write_bundle(large(), tmp_path)
    found = open_bundle("als_v1", tmp_path)

    assert str(tmp_path / "als_v1_user_factors.npy") in Path("/proc/self/maps").read_text()
    assert found.digest() == large().digest() and not found.arrays["user_factors"].flags.writeable


@pytest.mark.parametrize("kept", [LEAST_BYTES, -1])
def test_a_large_file_that_was_cut_is_refused(tmp_path: Path, kept: int) -> None:
    write_bundle(large(), tmp_path)
    path = tmp_path / "als_v1_user_factors.npy"
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(BundleCorrupt, match=path.name):
        open_bundle("als_v1", tmp_path)


def test_bundles_with_equal_ids_hold_them_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_bundle(example(), tmp_path / name)
    one, other = (open_bundle("als_v1", tmp_path / name) for name in ("a", "b"))
    assert one.maps["user"] is other.maps["user"]


def test_another_number_of_later_rows_is_refused(tmp_path: Path) -> None:
    """Only the checksum of the file covers this number."""
    write_bundle(example(), tmp_path)
    path = tmp_path / "als_v1_user_mapping.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))

    with pytest.raises(BundleCorrupt, match=path.name):
        open_bundle("als_v1", tmp_path)


def test_format_1_is_still_read() -> None:
    """The first version of this format wrote the golden files. New code must read them or raise FORMAT."""
    found = open_bundle("als_v1", GOLDEN_FILE)

    assert found.digest() == example().digest()
