"""Arrays are read from files by several threads at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

#: Threads change places as often as they can, so that parsers that share a state meet.
RACE = """
import gc, sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
import numpy as np
from models.data.mapped import map_array, read_arrays

folder = Path(sys.argv[1])
np.save(folder / "one.npy", np.arange(36))
np.savez(folder / "many.npz", a=np.arange(3), b=np.arange(4))
archive = (folder / "many.npz").read_bytes()
sys.setswitchinterval(1e-6)
gc.set_threshold(10)


class Cycle:
    def __del__(self):
        sum(range(50))


def read(_):
    for _ in range(3):
        cycle = Cycle()
        cycle.own = cycle
    assert map_array(folder / "one.npy").sum() == 630
    assert read_arrays(BytesIO(archive))["b"].sum() == 6


with ThreadPoolExecutor(6) as threads:
    list(threads.map(read, range(3000)))
"""


def test_threads_read_arrays_at_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", RACE, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
