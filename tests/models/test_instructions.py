"""Use the instructions of most processors, so that machines make similar lists."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import AVX2_ONLY
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(
    not Path("/proc/cpuinfo").is_file() or " avx2 " not in Path("/proc/cpuinfo").read_text(),
    reason="only processors with AVX2 are limited to it",
)


def kernels(first: str, **given: str) -> str:
    """Return the kernels of NumPy's OpenBLAS in a new process."""
    show = "import numpy, threadpoolctl; print(threadpoolctl.threadpool_info()[0]['architecture'])"
    outside = {name: value for name, value in os.environ.items() if name not in AVX2_ONLY}
    command = [sys.executable, "-c", f"{first}; {show}"]
    done = subprocess.run(command, cwd=ROOT, env=outside | given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("first", ["import pipelines.__main__", "import serving.processes", "import models"])
def test_every_program_uses_the_same_kernels(first: str) -> None:
    assert kernels(first) == "Haswell"


def test_a_variable_that_is_set_stays() -> None:
    assert kernels("import models", OPENBLAS_CORETYPE="Nehalem") == "Nehalem"


def test_the_tests_use_them_too() -> None:
    """Otherwise a model that a test fits would differ from one that a command fits."""
    from threadpoolctl import threadpool_info

    found = {i["architecture"] for i in threadpool_info() if i["internal_api"] == "openblas"}
    assert found == {os.environ["OPENBLAS_CORETYPE"]}
