"""Load settings without the checkout's matchbook.toml, which its owner may edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.settings import load


@pytest.fixture(autouse=True)
def no_file_of_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load, "USUAL", tmp_path / "none" / load.FILE)
