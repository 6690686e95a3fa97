"""The nouns and the decisions of Matchbook: no I/O except reading a bundle directory.

Nothing here imports training code; `models.training` is a shelf of its own that only `pipelines` opens.
"""

import os

# implicit and NumPy share two cores: BLAS threads of their own would fight over them (a factor of ten was seen)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
