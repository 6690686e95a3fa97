"""The nouns and the decisions of Matchbook: no I/O except reading a bundle directory.

A folder a model: what is declared of it, `fit.py`, which only `pipelines` opens, and `scorer.py`, which only reads.
"""

import os

# implicit and NumPy share two cores: BLAS threads of their own would fight over them (a factor of ten was seen)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
