"""Data types and models of Matchbook. The only I/O is reading a bundle directory.

Each model is a folder with its declaration, `fit.py` (imported only by `pipelines`) and `scorer.py` (only reads).
"""

import os
from contextlib import suppress
from pathlib import Path

# more BLAS threads compete with implicit's threads for the cores (measured: ten times slower)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

#: The instructions of most x86 processors since 2013. With newer ones on some machines, lists differ between machines
#: (docs/decisions/0045-processor-instructions.md). Libraries read these variables when they are first imported.
AVX2_ONLY = {"OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"}


def _choose_instructions() -> None:
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
        if " avx2 " in file.read(8192):
            for name, value in AVX2_ONLY.items():
                os.environ.setdefault(name, value)


_choose_instructions()
