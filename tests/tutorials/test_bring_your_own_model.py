"""Follow docs/tutorials/bring-your-own-model.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.schema import Surface
from models.settings.settings import Settings
from pipelines.store.artifacts import Artifacts
from tests.paths import ROOT
from tests.tutorials.conftest import measured
from tests.tutorials.follow import follow

pytestmark = pytest.mark.e2e
PAGE = ROOT / "docs" / "tutorials" / "bring-your-own-model.md"


def test_vectors_of_another_program_are_in_the_lists(copy: Path, env: dict[str, str], settings: Settings) -> None:
    follow(PAGE, copy, env)
    refused, built = sorted(Artifacts(settings).releases(), key=lambda release: len(release.bundles))
    assert set(built.bundles) - set(refused.bundles) == {"sentence_vectors_v1"}
    for surface in Surface:
        assert built.shares[surface.value]["source"]["sentence_vectors"] > 0
        assert "sentence_vectors" in measured(settings, built.id, surface)
