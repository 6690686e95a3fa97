"""Data types and models of Matchbook. The only I/O is reading a bundle directory.

Each model is a folder with its declaration, `fit.py` (imported only by `pipelines`) and `scorer.py` (only reads).
"""

import os

# more BLAS threads compete with implicit's threads for the cores (measured: ten times slower)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
