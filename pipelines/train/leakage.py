"""Check for leaks: a model evaluated on events after a cut must know nothing from the cut on (design 5.1).

Source: Kaufman et al. 2012, "Leakage in data mining". The strongest check drops all data from the cut on, refits, and
compares bytes. A failed check raises LeakFound and ends the run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import registry
from models.activity import SPEC as ACTIVITY
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.bundle import Bundle
from models.data.entities import UNKNOWN_TIME, Entities
from models.data.interactions import EventTime
from models.errors import LeakFound, TooSparse
from models.popularity import SPEC as POPULARITY
from models.schema import FACETS, Entity
from models.settings.settings import Settings
from models.words import folded
from pipelines.export.past import truncated
from pipelines.export.snapshot import Snapshot
from pipelines.export.withheld import equally_busy, met_from, telling
from pipelines.run.run import EPOCH
from pipelines.train.cutoffs import fit_at
from pipelines.train.train import TrainingData

#: Columns of the snapshot that no model reads, so their blanks cannot leak.
UNREAD = ("user_id", "startup_id", "updated_at")


class Told(NamedTuple):
    """A column, and how it reveals the outcome."""

    column: str
    how: str


def predicted_by_absence(
    snapshot: Snapshot, settings: Settings, cut_us: int, bundles: Mapping[str, Bundle]
) -> Iterator[Told]:
    """Yield every column whose blanks at the cut reveal which entities have later interactions.

    bundles: fitted before the cut, with the catalogue. Entities that are not listed at the cut are ignored.
    """
    clock = EventTime.from_times(snapshot.heard.before(cut_us).at)
    for entity, entities in entities_of(bundles[CATALOGUE]).items():
        events = snapshot.heard
        events = events if entity is Entity.USER else events.transposed()
        shown = np.flatnonzero(entities.listed)
        met = met_from(events, cut_us, len(entities))[shown]
        strata = equally_busy(events.before(cut_us), clock, shown)
        columns = blanks(TrainingData(snapshot, settings, cut_us), entities)
        facts = {name: _usual(values, shown) for name, values in _facts(bundles, entity)}
        for name, blank in {**columns, **facts}.items():
            how = telling(blank[shown], met, strata, strict=name in columns)
            if how:
                yield Told(f"{name} of {entity}s", how)


def blanks(lesson: TrainingData, entities: Entities) -> dict[str, NDArray[np.bool_]]:
    """Return a mask (n,) bool for each snapshot column and each total: blank for models of this training data."""
    found = {name: np.array([not text for text in words], bool) for name, words in lesson.profiles(entities).items()}
    found |= {name: entities.facets[name] < 0 for name in FACETS if name in found}
    found |= {
        "role": entities.role < 0,
        "founder_id": entities.founder < 0,
        "created_at": entities.created_at == UNKNOWN_TIME,
        "opted_out_at": ~entities.opted_out,
        "withdrawn_at": entities.listed,
        "views": entities.views == 0,
    }
    return found


def _facts(bundles: Mapping[str, Bundle], entity: Entity) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the item facts that rankers read besides scores."""
    activity, popular = bundles.get(ACTIVITY.bundle), bundles.get(POPULARITY.bundle)
    if activity is not None:
        for i, name in enumerate(activity.config["facts"]):
            yield f"fact {name}", activity.arrays[f"{entity}_facts"][:, i]
    if popular is not None:
        for name in ("popularity", "trending"):
            yield name, popular.arrays[f"{entity}_{name}"]


def _usual(values: NDArray[np.float32], shown: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (n,) bool: equals the most frequent value, which means "unknown"."""
    found, times = np.unique(values[shown], return_counts=True)
    return np.asarray(values == found[times.argmax()]) if len(found) else np.zeros(len(values), bool)


#: Base models refitted in every run. They are cheap, and together they read every table.
QUICK = tuple(spec.bundle for spec in registry.MODELS if spec.cheap)
#: Facts of people and startups as of the cut. `created_at` and the ids do not depend on time.
_FACTS = ("listed", "opted_out", "founder", "views", "interactions", "count")


def check_leaks(
    snapshot: Snapshot, settings: Settings, cut_us: int, bundles: Mapping[str, Bundle], refit: Sequence[str] = QUICK
) -> list[str]:
    """Raise LeakFound if a base model knows anything from the cut on. Return a description of the checks.

    bundles: base models fitted on `snapshot` before the cut. refit: names of models to fit again without later data.
    """
    past = truncated(snapshot, cut_us)
    mine = {name: bundle for name, bundle in bundles.items() if name in registry.bundles()}
    _check_rows(mine, past, cut_us)
    thinned = [entity for entity in Entity if snapshot.entities(entity).all_met]
    _check_facts(mine[CATALOGUE], past, cut_us, thinned)
    _check_profiles(snapshot, settings, past, cut_us)
    again = [name for name in refit if name in mine and name != CATALOGUE]
    for name in again:
        _check_refit(mine[name], past, settings, cut_us)
    return [
        f"{len(mine)} models counted {_rows(past)} events, those before the cut",
        "listed, counts, views, opt-outs and facets are those before the cut",
        "profiles of later arrivals and unknown stages are blank",
        f"the same bytes when fitted without the future: {', '.join(again) or 'none'}",
    ]


def check_labels(name: str, newest_us: int, cut_us: int) -> None:
    """Raise LeakFound if the newest training event of `name` is at or after the cut of its evaluation."""
    if newest_us >= cut_us:
        raise _leak(
            name,
            f"was trained on an event of {_iso(newest_us)}",
            cut_us,
            "train it on earlier cutoffs only (pipelines/train_ranker/learned.py)",
        )


def check_missing(snapshot: Snapshot, settings: Settings, cut_us: int, bundles: Mapping[str, Bundle]) -> str:
    """Raise LeakFound if blanks before the cut reveal later interactions. Return a description of the check.

    A refit without later data cannot show columns that the platform overwrites. bundles: fitted before the cut.
    """
    for column, how in predicted_by_absence(snapshot, settings, cut_us, bundles):
        cure = "set [export] stage_known = 'first_event', or " if column.startswith("stage") else ""
        raise _leak(
            f"the column {column}",
            f"is blank because of later events ({how})",
            cut_us,
            f"{cure}let the platform's view leave blank what was unknown then (docs/guides/snapshots.md)",
        )
    return "blanks before the cut do not reveal later interactions"


def _check_rows(bundles: Mapping[str, Bundle], past: Snapshot, cut_us: int) -> None:
    rows = _rows(past)
    for name, bundle in bundles.items():
        if bundle.config.get("as_of") != _iso(cut_us):
            raise _leak(name, f"records the cutoff {bundle.config.get('as_of')}", cut_us, "fit it before the cut")
        if bundle.config.get("rows", rows) != rows:
            raise _leak(
                name,
                f"was fitted on {bundle.config['rows']} events, {rows} lie before the cut",
                cut_us,
                "look at TrainingData.interactions and at the model's fit.py",
            )
        if bundle.config.get("known_before_us", cut_us) > cut_us:
            raise _leak(
                name,
                f"was computed elsewhere from what was known before {_iso(bundle.config['known_before_us'])}",
                cut_us,
                "take an earlier set (models/external/fit.py)",
            )


def _check_facts(catalogue: Bundle, past: Snapshot, cut_us: int, thinned: Collection[Entity]) -> None:
    if catalogue.config["as_of_us"] != cut_us:
        raise _leak(CATALOGUE, f"has as_of_us {catalogue.config['as_of_us']}", cut_us, "fit it before the cut")
    for entity, found in entities_of(catalogue).items():
        then = past.entities(entity, cut_us)
        wrong = [c for c in _FACTS if not np.array_equal(getattr(found, c), getattr(then, c))]
        if entity in thinned and np.array_equal(found.listed, then.listed & (then.count > 0)):  # see open_cut
            wrong = [c for c in wrong if c != "listed"]
        there = then.listed | (then.count > 0)  # arrived, listed or not
        wrong += [] if np.array_equal(found.role[there], then.role[there]) else ["role"]
        wrong += [f for f in FACETS if not np.array_equal(_words(found, f)[there], _words(then, f)[there])]
        if wrong:
            raise _leak(
                CATALOGUE,
                f"knows other values of {', '.join(wrong)} of {entity}s than the rows before the cut give",
                cut_us,
                "look at Snapshot.entities (pipelines/export/snapshot.py)",
            )


def _check_profiles(snapshot: Snapshot, settings: Settings, past: Snapshot, cut_us: int) -> None:
    """Raise LeakFound unless base models find blank exactly what `truncated` leaves blank."""
    lesson = TrainingData(snapshot, settings, cut_us)
    for entities in (lesson.users, lesson.startups):
        known = past.profiles(entities.entity, cut_us)
        for field, column in lesson.profiles(entities).items():
            told, then = (np.array([bool(text) for text in words], bool) for words in (column, known[field]))
            for wrong, how in (
                (
                    told & ~then,
                    f"read the {field} of {{}} {entities.entity}s who had not arrived, or it was not "
                    "known to that extent, before the cut",
                ),
                (
                    then & ~told & ~entities.opted_out,
                    f"do not read the {field} of {{}} "
                    f"{entities.entity}s, which was known before the cut: later data hide it",
                ),
            ):
                if wrong.any():
                    raise _leak(
                        "the base models",
                        how.format(int(wrong.sum())),
                        cut_us,
                        "look at TrainingData.profiles (pipelines/train/train.py)",
                    )


def _check_refit(bundle: Bundle, past: Snapshot, settings: Settings, cut_us: int) -> None:
    try:
        again = fit_at(bundle.name, past, settings, cut_us)
    except TooSparse as error:
        raise _leak(
            bundle.name,
            f"cannot be fitted without the future ({error})",
            cut_us,
            "look at what its fit.py reads",
        ) from error
    if again.digest() != bundle.digest():
        raise _leak(
            bundle.name,
            f"changes when fitted without the future, in {', '.join(_differences(bundle, again))}",
            cut_us,
            "look at what its fit.py reads",
        )


def _differences(bundle: Bundle, other: Bundle) -> Iterable[str]:
    for key in sorted({*bundle.config, *other.config}):
        if bundle.config.get(key) != other.config.get(key):
            yield f"{key} ({bundle.config.get(key)} against {other.config.get(key)})"
    for key in sorted({*bundle.arrays, *other.arrays}):
        if key not in bundle.arrays or not np.array_equal(bundle.arrays[key], other.arrays.get(key, np.empty(0))):
            yield key
    if any(bundle.maps[k] != other.maps[k] for k in bundle.maps):
        yield "ids"
    if bundle.files != other.files:
        yield "files"


def _leak(what: str, how: str, cut_us: int, hint: str) -> LeakFound:
    return LeakFound(f"leak: {what} {how}; expected nothing from the cut {_iso(cut_us)} on; {hint}")


def _rows(past: Snapshot) -> int:
    silent = pc.is_valid(past.users["opted_out_at"]).to_numpy()
    return int((~silent[past.events["user"].to_numpy()]).sum())


def _words(entities: Entities, facet: str) -> NDArray[np.object_]:
    """Return (n,) folded text of a facet. Codes and letter case depend on which other labels are known."""
    return np.array(["", *map(folded, entities.labels[facet])], object)[entities.facets[facet] + 1]


def _iso(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).isoformat()
