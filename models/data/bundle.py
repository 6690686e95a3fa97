"""The on-disk format of a trained model: arrays and JSON in a directory, with a checksummed manifest.

    als_v1/20130405T000001Z-3fa92c1b/
    ├── als_v1_config.json          the manifest (D17)
    ├── als_v1_user_factors.npy     one file for each array (D13-D21)
    └── als_v1_user_mapping.json    one file for each IdMap: {"ids": [...]} by row; "later": number of appended rows

There is no pickle (D12, R12). Only the owner may read the files (L03). A file that anybody may write is refused. A file
that others may read is logged. Only this module knows the format.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from models.data.entities import IdMap
from models.data.mapped import forget_pages, map_array
from models.errors import BundleCorrupt, BundleNotFound, message_of

FORMAT = 1
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model.

    name: for example "als_v1". config: cutoff, hyperparameters, metrics; JSON values only.
    arrays: by name, for example "user_factors". maps: IdMaps by name, for example "user".
    files: further files by name, for example "ranker_v1.pth" (torch weights, opened with weights_only).
    version: "<cutoff slug>-<first 8 of digest>", set when stored.
    """

    name: str
    config: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    maps: Mapping[str, IdMap] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    version: str = ""

    def digest(self) -> str:
        """Return the sha256 of the content, equal on every machine."""
        h = hashlib.sha256(json.dumps([self.name, dict(self.config)], sort_keys=True).encode())
        for key in sorted(self.arrays):
            a = np.ascontiguousarray(self.arrays[key])
            h.update(f"{key}{a.dtype.str}{a.shape}".encode())
            h.update(a.data)
        for key in sorted(self.maps):
            h.update(key.encode())
            h.update(self.maps[key].packed().tobytes())
        for key in sorted(self.files):
            h.update(key.encode() + self.files[key])
        return h.hexdigest()


def write_bundle(bundle: Bundle, directory: Path) -> None:
    """Write all files into an existing empty directory, the manifest last."""
    files = {}
    for key, array in sorted(bundle.arrays.items()):
        files[f"{bundle.name}_{key}.npy"] = _write_array(directory / f"{bundle.name}_{key}.npy", array)
    for key, ids in sorted(bundle.maps.items()):
        body = json.dumps({"ids": ids.ids.tolist()} | ({"later": ids.later} if ids.later else {})).encode()
        files[f"{bundle.name}_{key}_mapping.json"] = _write(directory / f"{bundle.name}_{key}_mapping.json", body)
    for key, body in sorted(bundle.files.items()):
        files[key] = _write(directory / key, body)
    manifest = {
        "format": FORMAT,
        "name": bundle.name,
        "digest": bundle.digest(),
        "config": dict(bundle.config),
        "arrays": sorted(bundle.arrays),
        "maps": sorted(bundle.maps),
        "files": sorted(bundle.files),
        "sha256": files,
    }
    _write(directory / f"{bundle.name}_config.json", json.dumps(manifest, indent=1, sort_keys=True).encode())


def open_bundle(name: str, directory: Path) -> Bundle:
    """Open and verify a bundle. Its large arrays are memory-mapped and read-only.

    Raises BundleNotFound.
    Raises BundleCorrupt if a file is missing or changed, the format is unknown, or anybody may write a file.
    """
    try:
        return _opened(name, directory)
    except OSError as error:
        raise BundleCorrupt(message_of(error) or str(error)) from error


def _opened(name: str, directory: Path) -> Bundle:
    path = directory / f"{name}_config.json"
    if not path.is_file():
        raise BundleNotFound(
            f"expected the bundle {name} in {directory}, found no {path.name}; "
            "train it (`python -m pipelines build`) or list what exists (`python -m pipelines check`)"
        )
    manifest = _manifest(path)
    _check_modes([directory, path, *(directory / file for file in manifest["sha256"])])
    for file, sha in manifest["sha256"].items():
        if not (directory / file).is_file() or sha256_of(directory / file) != sha:
            raise BundleCorrupt(
                f"{directory / file} differs from its manifest (truncated, changed or missing); "
                "roll back to another release or train again"
            )
    try:
        arrays = {k: map_array(directory / f"{name}_{k}.npy") for k in manifest["arrays"]}
        maps = {k: _ids(directory / f"{name}_{k}_mapping.json") for k in manifest["maps"]}
        extra = {k: (directory / k).read_bytes() for k in manifest["files"]}
    except (OSError, ValueError, KeyError) as error:
        raise BundleCorrupt(f"{path} names a missing or broken file ({error}); roll back or train again") from error
    bundle = Bundle(name, manifest["config"], arrays, maps, extra, directory.name)
    same = bundle.digest() == manifest["digest"]
    forget_pages(arrays.values())
    if not same:
        raise BundleCorrupt(f"{path} was changed since it was written; roll back to another release or train again")
    return bundle


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
        known = manifest["format"] == FORMAT
        missing = {"digest", "config", "arrays", "maps", "files", "sha256"} - set(manifest)
        if known and missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleCorrupt(f"{path} is not a bundle manifest ({error}); roll back or train again") from error
    if not known:
        raise BundleCorrupt(f"{path} has format {manifest['format']}, this version reads {FORMAT}; train again (M07)")
    return dict(manifest)


def _check_modes(paths: Sequence[Path]) -> None:
    """Log one warning if others may read a file. Raises BundleCorrupt if anybody may write one."""
    modes = {p: p.stat().st_mode for p in paths if p.exists()}
    for path, mode in modes.items():
        if mode & stat.S_IWOTH:
            raise BundleCorrupt(
                f"{path} may be written by anybody on this machine (mode {stat.filemode(mode)}); "
                f"if the content is yours, run `chmod -R go-w {paths[0]}`, or train again"
            )
    if any(mode & (stat.S_IRGRP | stat.S_IROTH) for p, mode in modes.items() if p != paths[0]):
        _LOG.warning("files of %s may be read by other users; `chmod -R go= %s` (L03)", paths[0], paths[0])


#: Id maps of this process by the sha256 of their file. Bundles of one snapshot have equal maps, which are held once.
_MAPS: WeakValueDictionary[str, IdMap] = WeakValueDictionary()


def _ids(path: Path) -> IdMap:
    body = path.read_bytes()
    sha = hashlib.sha256(body).hexdigest()
    found = _MAPS.get(sha)
    if found is None:
        stored = json.loads(body)
        found = _MAPS[sha] = IdMap(np.array(stored["ids"], dtype="<U36"), int(stored.get("later", 0)))
    return found


def _write_array(path: Path, array: NDArray[Any]) -> str:
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)
    path.chmod(0o600)
    return sha256_of(path)


def _write(path: Path, body: bytes) -> str:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(body)
    return hashlib.sha256(body).hexdigest()


def digest_of(root: Path, paths: Iterable[Path]) -> str:
    """Return twelve hex digits that identify these files' paths below `root` and contents."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(root).as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
