"""Keep the base models and training samples of a past cutoff for later builds.

They are in `artifacts/cuts/<slug>-<digest8>/<name>/`. The digest covers the rows known then, the settings and the
code, so a late event, an opt-out or an erasure gives another cutoff. Profile texts are of the first build.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models import registry
from models.data.bundle import Bundle, open_bundle, write_bundle
from models.learned_ranker.scorer import ACTIVITY
from models.setting import Phase
from models.settings.settings import Settings
from models.spec import flat_names
from pipelines.export.past import known_at, name_at
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run, code_version
from pipelines.store.artifacts import CUTS
from pipelines.train.train import fit

#: Cheap models with a row for each entity of a snapshot, also for later arrivals.
FACTS = (*registry.required(), ACTIVITY)


@dataclass(frozen=True, eq=False)
class Cutoff:
    """One past cutoff of a snapshot, microseconds since 1970 UTC. quick: fit cheaper models, see `ModelSpec.quick`."""

    run: Run
    snapshot: Snapshot
    cut_us: int
    quick: bool = False

    @cached_property
    def settings(self) -> Settings:
        """The build's settings, with the limits of each spec's `quick` if asked."""
        given = self.run.settings
        if not self.quick:
            return given
        limits = {
            flat_names(spec.table_name, spec.config)[field]: limit
            for spec in registry.MODELS
            if spec.config
            for field, limit in spec.quick
        }
        return given.layered({flat: min(limit, given.given(flat)) for flat, limit in limits.items()}, "given")

    @cached_property
    def past(self) -> Snapshot:
        return known_at(self.snapshot, self.cut_us)

    @cached_property
    def name(self) -> str:
        """`<slug>-<digest8>`, of the rows, the settings of training, and the code."""
        rows = name_at(self.snapshot, self.cut_us)
        return f"{rows.rpartition('-')[0]}-{digest_of(rows, self.settings.recorded(Phase.TRAIN))}"

    def model(self, name: str) -> Bundle:
        """Return a base model fitted on what existed at the cutoff, kept after the first fit. Raises TooSparse."""
        return self.kept(name, name, lambda: fit(name, self.past, self.settings))

    def directory(self, name: str) -> Path:
        return self.run.artifacts.root / CUTS / self.name / name

    def kept(self, directory: str, name: str, make: Callable[[], Bundle]) -> Bundle:
        return kept(self.run, f"{CUTS}/{self.name}", directory, name, make)


def kept(run: Run, kind: str, directory: str, name: str, make: Callable[[], Bundle]) -> Bundle:
    """Return the bundle kept in `kind/directory`. Make it if it is missing or damaged."""
    found = run.artifacts.open_sound(kind, directory, name)
    if found is not None:
        with suppress(OSError):
            os.utime(run.artifacts.root / kind / directory)  # retirement counts from the last use
        return found
    bundle = make()
    return open_bundle(name, run.artifacts.place(kind, directory, lambda aside: write_bundle(bundle, aside)))


def fit_at(name: str, snapshot: Snapshot, settings: Settings, cut_us: int) -> Bundle:
    """Fit a base model on what was known at a cutoff. Models of facts have a row for each entity of the snapshot."""
    if name in FACTS:
        return fit(name, snapshot, settings, cut_us)
    return fit(name, known_at(snapshot, cut_us), settings)


def digest_of(*parts: Any) -> str:
    """Return eight hex digits of JSON values and the version of the code."""
    return hashlib.sha256(json.dumps([*parts, code_version()], sort_keys=True).encode()).hexdigest()[:8]
