"""Which bundles some list could be made with under these settings: what nothing can read is not taught."""

from __future__ import annotations

from models.ensemble.scorer import free_to_choose
from models.learned_ranker.scorer import LEARNED
from models.recipe.experiments import read_experiments
from models.recipe.sources import ACTIVITY, heard
from models.schema import Source
from models.settings import Settings

#: The network and the blend, as what fits them names them, which the read side may not open.
_NETWORK, _BLEND = "ranker_v1", "ensemble_v1"


def unserved(name: str, settings: Settings) -> str:
    """Why no list could be made with a bundle: which switch is off, in the settings and in every arm of an experiment.
    Empty where one could."""
    arms = (arm.of(settings) for e in read_experiments(settings) for arm in e.arms)
    reasons = [_unread(name, ways) for ways in (settings, *arms)]
    return reasons[0] if all(reasons) else ""


def _unread(name: str, settings: Settings) -> str:
    """The same of one way to make lists: what `open_recipe` would not read."""
    if name in ("als_v1", "als_reverse_v1") and not heard(Source.ALS, settings):
        return "ENABLE_ALS is off: nothing would read it"
    if name == "two_tower_v1" and not heard(Source.TWO_TOWER, settings):
        return "ENABLE_TWO_TOWER is off: nothing would read it"
    if name == _NETWORK and settings.ranker not in ("auto", "mlp"):
        return f"MATCHBOOK_RANKER is {settings.ranker}: nothing would read it"
    if name in (LEARNED, ACTIVITY):
        return _unlearned(settings)
    return _unblended(settings) if name == _BLEND else ""


def _unlearned(settings: Settings) -> str:
    """Why the learned ranker, and the facts that it alone reads, would never serve."""
    if settings.ranker not in ("auto", "learned"):
        return f"MATCHBOOK_RANKER is {settings.ranker}: nothing would read it"
    if settings.candidate_sources != "union":
        return f"MATCHBOOK_CANDIDATE_SOURCES is {settings.candidate_sources}: the learned ranker never serves"
    return "" if settings.ranker_cuts else "MATCHBOOK_RANKER_CUTS is 0: nothing teaches the learned ranker"


def _unblended(settings: Settings) -> str:
    """Why no blend is looked for."""
    off = [n.upper() for n in ("enable_ensemble", "enable_als", "enable_two_tower") if not getattr(settings, n)]
    if off:
        return f"{' and '.join(off)} off: nothing is blended"
    asked = settings.blend == "learned" or free_to_choose(settings)
    return "" if asked else f"MATCHBOOK_BLEND is {settings.blend}, and its weights stand: nothing is to be chosen"
