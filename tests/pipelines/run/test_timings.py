"""Measure time and memory of one step only. A damaged line affects only itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.run.timings import MB, RECORD, STEPS, Stopwatch, append_timing, step, steps_of

LARGE = 200 * MB


def test_a_step_is_noted_with_its_own_time_and_memory(tmp_path: Path) -> None:
    (tmp_path / RECORD).touch()
    with step(tmp_path, "large"):
        assert np.ones(LARGE, np.uint8).sum() == LARGE
    with step(tmp_path, "small", 3):
        time.sleep(0.05)
    large, small = steps_of(tmp_path)
    assert (large["step"], large["index"], small["step"], small["index"]) == ("large", None, "small", 3)
    assert small["wall_s"] >= 0.05 and small["cpu_s"] >= 0
    assert large["peak_mb"] > 200 and large["at"].endswith("+00:00")
    if sys.platform == "linux":
        assert small["peak_mb"] < large["peak_mb"] - 100  # the peak of the step before is reset
    assert (tmp_path / STEPS).stat().st_mode & 0o777 == 0o600


def test_a_child_counts_with_its_memory_and_its_time() -> None:
    began = Stopwatch.now()
    words = f"import time; x = bytearray({LARGE}); x[::4096] = b'1' * len(x[::4096]); sum(range(10**6))"
    subprocess.run([sys.executable, "-c", words], check=True)
    line = began.measured("parent")
    assert line["peak_mb"] > 200 and line["cpu_s"] > 0


def test_a_step_that_fails_is_noted_too(tmp_path: Path) -> None:
    (tmp_path / RECORD).touch()
    with pytest.raises(ValueError, match="broken"), step(tmp_path, "train"):
        raise ValueError("broken")
    assert [line["step"] for line in steps_of(tmp_path)] == ["train"]


def test_a_directory_without_the_record_of_a_run_gets_no_note(tmp_path: Path) -> None:
    with step(tmp_path / "none", "train"):
        pass
    assert not (tmp_path / "none").exists()


def test_the_newest_line_of_a_step_counts_and_torn_lines_do_not(tmp_path: Path) -> None:
    for seconds, index in ((1.0, None), (2.0, 0), (3.0, 1), (4.0, None)):
        append_timing(tmp_path, {"step": "score", "index": index, "wall_s": seconds})
    with (tmp_path / STEPS).open("a") as file:
        file.write('{"step": "sco\n[1]\n{"other": 1}\n')
    assert [(s["index"], s["wall_s"]) for s in steps_of(tmp_path)] == [(0, 2.0), (1, 3.0), (None, 4.0)]
    assert steps_of(tmp_path / "none") == []
