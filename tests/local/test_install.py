"""`make install` explains each failure, and does nothing the second time."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.paths import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def install(tmp_path: Path) -> ModuleType:
    """Load the script in a separate checkout with empty locks."""
    shutil.copy2(ROOT / "install.py", tmp_path / "install.py")
    for lock in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / lock).write_text("# nothing\n")
    spec = importlib.util.spec_from_file_location("install_under_test", tmp_path / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_makes_the_environment_once_and_installs_again_when_a_lock_changes(
    install: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install.main() == 0 and "making a virtual environment" in capsys.readouterr().err
    assert (install.VENV / "bin" / "python").exists()
    assert install.main() == 0 and capsys.readouterr().err == "", "nothing to do the second time"
    for lock in install.LOCKS:
        before = lock.read_text()
        lock.write_text(f"nothing @ file://{install.CHECKOUT}/absent.whl\n")
        assert install.main() == 1
        said = capsys.readouterr().err
        assert "installing 1 packages" in said and "making a virtual environment" not in said
        assert "absent.whl" in said, "pip's last words"
        assert install.STAMP.read_text() != install.wanted_stamp(), "the next start must try again"
        lock.write_text(before)


def test_an_environment_without_its_python_is_made_again(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    install.VENV.joinpath("bin").mkdir(parents=True)
    install.VENV.joinpath("bin", "python").symlink_to("/nonexistent/python3")
    install.STAMP.write_text(install.wanted_stamp())
    made: list[str] = []

    def make_environment() -> bool:
        made.append("made")
        return False

    monkeypatch.setattr(install, "make_environment", make_environment)
    assert install.main() == 1 and made == ["made"]


def test_too_old_a_python_is_named_with_the_way_out(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "OLDEST", (99, 0))
    assert install.main() == 1
    said = capsys.readouterr().err
    assert sys.version.split()[0] in said and "make PYTHON=" in said and not install.VENV.exists()


def test_a_python_without_venv_is_told_from_a_broken_one(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = subprocess.CompletedProcess([], 1, "ensurepip is not available", "")
    monkeypatch.setattr(install.subprocess, "run", lambda *_, **__: refused)
    assert install.main() == 1
    said = capsys.readouterr().err
    assert "python3-venv" in said and "ensurepip is not available" in said
