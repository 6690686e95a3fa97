"""Follow docs/tutorials/add-a-model.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.schema import Entity, Surface
from models.settings.settings import Settings
from pipelines.store.artifacts import Artifacts
from tests.paths import ROOT
from tests.tutorials.conftest import measured
from tests.tutorials.follow import follow

pytestmark = pytest.mark.e2e
PAGE = ROOT / "docs" / "tutorials" / "add-a-model.md"


def test_one_folder_and_one_line_are_a_model(copy: Path, env: dict[str, str], settings: Settings) -> None:
    follow(PAGE, copy, env)
    (built,) = Artifacts(settings).releases()
    for surface in Surface:
        proposed = built.shares[surface.value]["source"].get("newest_first", 0) > 0
        alone = "newest_first" in measured(settings, built.id, surface)
        assert proposed == alone == (surface.owner is Entity.USER)
