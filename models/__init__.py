"""The nouns and the decisions of Matchbook: no I/O except reading a bundle directory.

Nothing here imports training code; `models.training` is a shelf of its own that only `pipelines` opens.
"""

import os

# implicit and NumPy share two cores: BLAS threads of their own would fight over them (dependencies trap, a factor of ten)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
