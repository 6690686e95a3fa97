"""An artefact store moves: what lies in a folder is put where MATCHBOOK_ARTIFACTS says, under the same names."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from models.errors import DataError
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.runs.mirror import whole_here


def copy_artifacts(settings: Settings, old: Path) -> list[str]:
    """Copy every finished directory and the small files at the top of `old`; what is there already stays.

    Returns the directories. Raises DataError where `old` holds no artefacts, ServiceError of the store.
    """
    found = sorted(whole_here(old))
    if not found:
        raise DataError(
            f"expected snapshots, bundles or releases in {old}, found none; name the folder of artefacts, "
            "which is `artifacts` in MATCHBOOK_HOME unless MATCHBOOK_ARTIFACTS said otherwise"
        )
    artifacts = Artifacts(settings)
    for path in found:
        kind, _, name = path.rpartition("/")
        artifacts.place(kind, name, partial(_copy, old / path))
    for file in [*old.glob("*.json"), *old.glob("*.jsonl"), *(old / "reports").rglob("*")]:
        target = artifacts.root / file.relative_to(old)
        if file.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(file, target)
    return found


def _copy(source: Path, aside: Path) -> None:
    shutil.copytree(source, aside, dirs_exist_ok=True)
