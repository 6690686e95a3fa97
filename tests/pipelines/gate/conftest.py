"""Build on a planted marketplace without PostgreSQL, up to a stored release."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models import registry
from models.data.bundle import Bundle
from models.settings.settings import Settings
from pipelines.evaluate.evaluate import choose_bundles
from pipelines.export.snapshot import Snapshot
from pipelines.gate.gate import compare_with_live
from pipelines.publish import assemble
from pipelines.publish.assemble import assemble_release
from pipelines.refs import GateRef, ReleaseRef
from pipelines.run.run import Run, parse_instant
from pipelines.score.shards import plan_shards, score_shard
from pipelines.train import cutoffs
from pipelines.train import train as training
from pipelines.train.train import TrainingData, train
from pipelines.train_ranker.second_stage import open_second_stage
from tests.pipelines.train.market import rows, small

FIRST, NEXT = "2024-02-28", "2024-02-29"  # the cutoff of the validation split moves between them
PERSONAL = tuple(name for name in registry.bundles() if name not in ("catalogue_v1", "popularity_v1", "activity_v1"))


class Nights:
    """The builds of one home. `weighed`: the findings of the last gate. live: the published release."""

    def __init__(self, settings: Settings, patch: pytest.MonkeyPatch) -> None:
        self.settings, self.patch, self.live = settings, patch, ""
        self.snapshots: dict[str, Snapshot] = {}
        patch.setattr(Snapshot, "open", classmethod(lambda cls, path: self.snapshots[Path(path).name]))
        patch.setattr(assemble, "check_erased", lambda settings, entities: None)

    def build(self, as_of: str, left_out: tuple[str, ...] = (), **changed: Any) -> tuple[Run, ReleaseRef]:
        """Build a cutoff. Return (run, release). left_out: models without scoring. changed: settings of this build."""
        settings = self.settings.layered(changed, "given")
        run = Run.start(settings, f"night-{uuid.uuid4().hex[:8]}", parse_instant(as_of), fresh=True)
        self.snapshots.setdefault(as_of, Snapshot.from_frames(*rows(), as_of, self.settings.recorded(), as_of))
        build = run.reference(snapshot=as_of)
        refs = [train(run, build, name) for name in registry.bundles()]
        stage = open_second_stage(run, self.snapshots[as_of])
        kept = [ref for ref in [*refs, *stage.refs] if ref.name not in left_out]
        build = choose_bundles(run, build, kept, [])
        done = [score_shard(run, s) for s in plan_shards(run, build)]
        return run, assemble_release(run, build, done)

    def weighed(self, as_of: str, left_out: tuple[str, ...] = (), **changed: Any) -> tuple[Run, GateRef]:
        run, release = self.build(as_of, left_out, **changed)
        return run, compare_with_live(run, run.reference(snapshot=as_of), release)

    def spoil(self, patch: pytest.MonkeyPatch) -> None:
        """Train every later personal model on shuffled pairs and profiles."""
        noisy = {}
        for name in PERSONAL:
            noisy[name] = _noisy(training.fitter_of(registry.named(name)))
        honest = training.fitter_of
        patch.setattr(training, "fitter_of", lambda spec: noisy.get(spec.bundle) or honest(spec))
        patch.setattr(cutoffs, "code_version", lambda: "other code")  # no stored model fits this code


def _noisy(fitter: Callable[[TrainingData], Bundle]) -> Callable[[TrainingData], Bundle]:
    def fit(lesson: TrainingData) -> Bundle:
        rng, snapshot = np.random.default_rng(7), lesson.snapshot
        who = rng.permutation(len(snapshot.startups))
        words = snapshot.startups.take(pa.array(who)).set_column(0, "startup_id", snapshot.startups["startup_id"])
        met = pa.array(rng.permutation(snapshot.events["startup"].to_numpy()))
        place = snapshot.events.schema.get_field_index("startup")
        events = snapshot.events.set_column(place, snapshot.events.schema.field(place), met)
        return fitter(replace(lesson, snapshot=replace(snapshot, startups=words, events=events)))

    return fit


@pytest.fixture(scope="module")
def nights(server_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """Yield a separate home with the FIRST build as its live release."""
    from pipelines.publish.publish import publish_release

    with pytest.MonkeyPatch.context() as patch:
        settings = small(
            home=tmp_path_factory.mktemp("nights"),
            redis_url=server_settings.redis_url,
            ranker_cuts=0,
            ranker_epochs=1,
            namespace=f"gate-{uuid.uuid4().hex[:8]}",
            gate_min_owners=20,
        )
        nights = Nights(settings, patch)
        run, release = nights.build(FIRST)
        first = compare_with_live(run, run.reference(snapshot=FIRST), release)
        assert (first.verdict, first.champion) == ("go", None), first
        publish_release(settings, release.release)
        nights.live = release.release
        yield nights
