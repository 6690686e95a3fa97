"""The cap on exposure that a build chose for each surface (see `models/recommender/exposure.py`)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from models.lists.ranked_lists import RankedLists
from models.recommender.exposure import apply_cap, caps_of, part_of
from models.recommender.surface import SurfaceRecommender
from models.schema import Surface
from pipelines.run.run import Run

#: Staging file of a build: surface -> multiple, 0 for no cap.
_FILE = "caps.json"


def keep_caps(run: Run, chosen: Mapping[str, float]) -> None:
    """Store the choice for the tasks that assemble and compare the lists."""
    run.artifacts.write_json(run.directory / _FILE, dict(chosen))


def chosen_cap(run: Run, surface: Surface) -> float:
    """Return the multiple that the build chose, 0 without a choice."""
    path = run.directory / _FILE
    return float(json.loads(path.read_text()).get(surface.value, 0.0)) if path.is_file() else 0.0


def resolved(setting: float, chosen: float) -> float:
    """Return the multiple of a setting, which below 0 asks for the choice of the build."""
    return chosen if setting < 0 else setting


def capped(
    recipe: SurfaceRecommender, multiple: float, lists: RankedLists, beside: RankedLists | None = None
) -> RankedLists:
    """Return the lists with a cap on exposure, 0 for none. Lists `beside` them share it."""
    if not multiple:
        return lists
    both = lists if beside is None else RankedLists.concat([lists, beside])
    found = apply_cap(both, caps_of(multiple, both, recipe.catalogue, recipe.items.count))
    return part_of(found, 0, len(lists))
