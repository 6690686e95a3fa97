"""Which bundles some list could be made with under these settings: what nothing can read is not taught."""

from __future__ import annotations

from models import registry
from models.ensemble.scorer import free_to_choose
from models.learned_ranker.scorer import ACTIVITY, LEARNED
from models.recipe.experiments import read_experiments
from models.settings import Settings
from models.spec import ModelSpec, Stage


def unserved(name: str, settings: Settings) -> str:
    """Why no list could be made with a bundle: which switch is off, in the settings and in every arm of an experiment.
    Empty where one could."""
    arms = (arm.of(settings) for e in read_experiments(settings) for arm in e.arms)
    reasons = [_unread(registry.named(name), ways) for ways in (settings, *arms)]
    return reasons[0] if all(reasons) else ""


def _unread(spec: ModelSpec, settings: Settings) -> str:
    """The same of one way to make lists: what `open_recipe` would not read."""
    if off := spec.off(settings):
        done = "blended" if spec.stage is Stage.BLEND else ""
        return (
            f"{' and '.join(off)} off: nothing is {done}"
            if done
            else f"{' and '.join(off)} is off: nothing would read it"
        )
    if spec.bundle in (LEARNED, ACTIVITY):
        return _unlearned(settings)
    if spec.stage is Stage.RANKER and settings.table("ranker").kind not in ("auto", spec.kind):
        return f"[ranker] kind is {settings.table('ranker').kind}: nothing would read it"
    return _unblended(settings) if spec.stage is Stage.BLEND else ""


def _unlearned(settings: Settings) -> str:
    """Why the learned ranker, and the facts that it alone reads, would never serve."""
    if settings.table("ranker").kind not in ("auto", "learned"):
        return f"[ranker] kind is {settings.table('ranker').kind}: nothing would read it"
    if settings.lists.candidate_sources != "union":
        return f"[lists] candidate_sources is {settings.lists.candidate_sources}: the learned ranker never serves"
    return "" if settings.table("ranker").cuts else "[ranker] cuts is 0: nothing teaches the learned ranker"


def _unblended(settings: Settings) -> str:
    """Why no blend is looked for."""
    asked = settings.table("ensemble").blend == "learned" or free_to_choose(settings.table("ensemble"))
    return (
        ""
        if asked
        else f"[ensemble] blend is {settings.table('ensemble').blend}, and its weights stand: nothing is to be chosen"
    )
