"""Which models a build was judged by: written down in its run, then named by its release."""

from __future__ import annotations

import json

from pipelines.runs.run import Run

#: In the directory of a run: name -> version of what is kept under `holdouts/`.
KEPT = "judged.json"


def judged_of(run: Run) -> dict[str, str]:
    """What `keep_judged` left for this run; empty where nothing was held out, or nothing judged."""
    path = run.directory / KEPT
    return dict(json.loads(path.read_text())) if path.is_file() else {}
