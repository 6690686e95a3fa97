"""Data types and models of Matchbook; no I/O except reading a bundle directory.

Each model is a folder: its declaration, `fit.py` (opened only by `pipelines`) and `scorer.py` (only reads).
"""

import os

# more BLAS threads would compete with implicit's for the same cores (measured: ten times slower)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
