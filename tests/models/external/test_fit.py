"""Read vectors of another program: complete and from the right time, or refused with a clear error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import external, registry
from models.activity.fit import fit_activity
from models.data.bundle import Bundle
from models.data.training_data import MarketState
from models.errors import DataError, TooSparse
from models.external import ExternalConfig
from models.recommender.candidates import learned_table, wide_candidates
from models.recommender.surface import open_recommender
from models.schema import Entity, Role, Surface
from models.spec import BOTH, USERS, ModelSpec, function
from pipelines.erase.files import without
from pipelines.erased import Person
from tests.marketplace.bundles import planted_bundles
from tests.marketplace.data import PlantedData
from tests.marketplace.world import AS_OF_US, GROUPS, world
from tests.models.model_contract import SMALL, Fit, ModelContract
from tests.models.scorer_contract import lists_of

VECTORS = external.vectors("planted_vectors", 8, "vectors", ("reads like you", "reads like your startup"), BOTH)
SCORES = external.scores("planted_scores", 9, "scores", ("fits you", "fits your startup"), BOTH)
AS_OF = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=AS_OF_US)
DAY = timedelta(days=1)
Columns = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ExternalData(PlantedData):
    """The planted world, with the table of an external model."""

    table_given: ExternalConfig = field(default_factory=ExternalConfig)

    @property
    def config(self) -> ExternalConfig:
        return self.table_given


def fitted(spec: ModelSpec, files: Path | str, as_of: datetime = AS_OF, max_age_days: float = 0.0) -> Bundle:
    as_of_us = AS_OF_US + (as_of - AS_OF) // timedelta(microseconds=1)
    config = ExternalConfig(str(files), max_age_days)
    found: Bundle = function(spec.fit)(ExternalData(spec, SMALL, world().interactions, as_of_us, config))
    return found


def vectors(as_of: datetime, scale: float = 1.0) -> dict[str, list[Any]]:
    """Return the group of every entity, except the last startup, which is unknown."""
    w = world()
    groups = np.append(w.user_group, w.startup_group)[:-1]
    ids = [*w.users.ids.ids.tolist(), *w.startups.ids.ids.tolist()][:-1]
    rows = (np.eye(GROUPS, dtype=np.float32)[groups] * scale + np.linspace(0, 0.1, len(ids))[:, None]).tolist()
    return {"id": ids, "vector": rows, "as_of": [as_of] * len(ids)}


def scores(as_of: datetime, scale: float = 1.0) -> dict[str, list[Any]]:
    """Return every pair of a group. The first pair scores nothing."""
    w = world()
    user, startup = np.nonzero(w.user_group[:, None] == w.startup_group)
    score = (np.random.default_rng(4).random(len(user)) * scale).tolist()
    return {
        "user_id": w.users.ids.ids[user].tolist(),
        "startup_id": w.startups.ids.ids[startup].tolist(),
        "score": [0.0, *score[1:]],
        "as_of": [as_of] * len(user),
    }


def write(path: Path, *sets: Columns) -> Path:
    pq.write_table(pa.concat_tables([pa.table(dict(s)) for s in sets]), path)
    return path


def changed(columns: Columns, **rows: Mapping[int, Any]) -> dict[str, list[Any]]:
    """Replace values of columns in some rows."""
    return {name: [rows.get(name, {}).get(i, v) for i, v in enumerate(c)] for name, c in columns.items()}


def in_registry(spec: ModelSpec) -> Iterator[None]:
    before = list(registry.MODELS)
    registry.MODELS.insert(before.index(registry.named("ensemble")), spec)
    yield
    registry.MODELS[:] = before


class ExternalContract(ModelContract):
    """Subclasses give `spec` and `columns`, the output of the other program."""

    columns: Callable[[datetime, float], Columns]

    @pytest.fixture(autouse=True)
    def registered(self) -> Iterator[None]:
        yield from in_registry(self.spec)

    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        made = type(self).columns
        return write(tmp_path / "given.parquet", made(AS_OF - DAY, 1.0), made(AS_OF + DAY, 5.0))

    @pytest.fixture
    def bundle(self, files: Path) -> Bundle:
        return fitted(self.spec, files)

    @pytest.fixture
    def fit(self, files: Path) -> Fit:
        config = ExternalConfig(str(files))
        return lambda events, settings: function(self.spec.fit)(
            ExternalData(self.spec, settings, events, AS_OF_US, config)
        )

    def test_the_newest_set_that_was_known_is_taken_whole(self, tmp_path: Path) -> None:
        made = type(self).columns
        old, now = made(AS_OF - 2 * DAY, 2.0), made(AS_OF, 1.0)
        both = write(tmp_path / "both", old, {name: column[:-5] for name, column in now.items()})
        found = fitted(self.spec, both)
        assert found.config["known_before_us"] == AS_OF_US and found.config["set_rows"] == len(now["as_of"]) - 5
        alone = write(tmp_path / "alone", old)
        assert fitted(self.spec, both, AS_OF - DAY).digest() == fitted(self.spec, alone, AS_OF - DAY).digest()

    def test_a_later_set_changes_nothing(self, files: Path, bundle: Bundle, tmp_path: Path) -> None:
        without = write(tmp_path / "without", type(self).columns(AS_OF - DAY, 1.0))
        assert fitted(self.spec, without).digest() == bundle.digest()

    def test_without_a_set_in_time_it_is_left_out(self, files: Path) -> None:
        with pytest.raises(TooSparse, match=r"at or before 2020-04-07.*got 2020-04-09.*, 2020-04-11.*; write a set"):
            fitted(self.spec, files, AS_OF - 3 * DAY)
        with pytest.raises(TooSparse, match=r"\(\[planted_\w+\] max_age_days\).*got 2020-04-09"):
            fitted(self.spec, files, max_age_days=0.5)
        assert fitted(self.spec, files, max_age_days=1.0).config["set_rows"]
        with pytest.raises(TooSparse, match=r"name them in \[planted_\w+\] files"):
            fitted(self.spec, "")

    def test_who_opted_out_is_left_out(self, bundle: Bundle) -> None:
        w = world()
        assert bundle.config["set_aside"]["opted out"] and (bundle.maps["user"].rows_of(w.users.ids.ids) >= 0).any()
        assert (bundle.maps["user"].rows_of(w.users.ids.ids[w.users.opted_out]) < 0).all()

    def test_the_learned_ranker_gets_it(self, bundle: Bundle) -> None:
        w, surface = world(), Surface.STARTUPS_FOR_DEVELOPER
        activity = fit_activity(MarketState(w.users, w.startups, w.interactions, AS_OF_US), [])
        bundles = {**planted_bundles(), activity.name: activity, bundle.name: bundle}
        recipe, owners = open_recommender(surface, bundles, self.settings), w.owners(surface)
        names, features = learned_table(recipe, owners, wide_candidates(recipe, owners))
        assert len(np.unique(features[:, names.index(f"score_{self.spec.source}")])) > 2

    def test_erased_users_get_no_candidates(self, bundle: Bundle) -> None:
        w, surface, source = world(), Surface.STARTUPS_FOR_DEVELOPER, self.spec.source
        row = int(w.rows(Role.DEVELOPER, 8)[0])
        left = without(bundle, Person(str(w.users.ids.ids[row]), "mark"))
        assert left is not None and source is not None
        for found, known in ((bundle, True), (left, False)):
            scorer = self.recipe(surface, found, self.settings).scorers[source]
            assert bool(len(scorer.propose(w.owners(surface, np.array([row])), 3).item)) == known
        place = int(bundle.maps["user"].rows_of([w.users.ids.ids[row]])[0])
        held = (
            left.arrays["user_vectors"][place]
            if "user_vectors" in left.arrays
            else np.diff(left.arrays["indptr"])[place]
        )
        assert not np.any(held)

    def test_a_folder_of_parts_is_read_as_one_file(self, bundle: Bundle, tmp_path: Path) -> None:
        folder, columns = tmp_path / "parts", type(self).columns(AS_OF - DAY, 1.0)
        folder.mkdir()
        for i, part in enumerate((slice(50, None), slice(50))):
            write(folder / f"part-{i}.parquet", {name: column[part] for name, column in columns.items()})
        (folder / "_SUCCESS").touch()
        assert fitted(self.spec, f"file://{folder}").digest() == bundle.digest()

    def test_an_invalid_table_is_refused(self, tmp_path: Path) -> None:
        columns = dict(type(self).columns(AS_OF, 1.0))
        for name, other in (*((n, None) for n in columns), ("as_of", ["2020-04-09"] * len(columns["as_of"]))):
            wrong = {k: v for k, v in columns.items() if k != name} | ({} if other is None else {name: other})
            with pytest.raises(DataError, match=rf"expected the columns .*{name} \(.*, got .*; write them as docs"):
                fitted(self.spec, write(tmp_path / "wrong", wrong))
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="got none; write them"):
            fitted(self.spec, tmp_path / "empty")
        (tmp_path / "text").write_text("no Parquet")
        for files in (tmp_path / "text", tmp_path / "absent", "nowhere://bucket/file"):
            with pytest.raises(DataError, match=r"expected Parquet files in .* they cannot be read"):
                fitted(self.spec, files)
        column = next(iter(columns))
        strangers = changed(columns, **{column: dict.fromkeys(range(len(columns[column])), "x" * 40)})
        with pytest.raises(DataError, match=rf"expected ids of user.* in the column {column}, got 'x+' and none"):
            fitted(self.spec, write(tmp_path / "strangers", strangers))

    def test_zones_and_units_of_instants_make_no_difference(self, bundle: Bundle, tmp_path: Path) -> None:
        columns = dict(type(self).columns(AS_OF - DAY, 1.0))
        for kind in (pa.timestamp("s"), pa.timestamp("ns", "Europe/Zurich"), pa.timestamp("ms", "UTC")):
            zoned = columns | {"as_of": pa.array(columns["as_of"], pa.timestamp("us", "UTC")).cast(kind)}
            assert fitted(self.spec, write(tmp_path / "zoned", zoned)).digest() == bundle.digest()


class TestVectors(ExternalContract):
    spec = VECTORS
    columns = staticmethod(vectors)

    def test_the_best_are_of_the_own_group(self, bundle: Bundle) -> None:
        w, surface, source = world(), Surface.STARTUPS_FOR_INVESTOR, VECTORS.source
        assert source is not None
        recipe = self.recipe(surface, bundle, self.settings)
        owners, group = w.owners(surface), w.startup_group[recipe.catalogue]
        for row, found in zip(owners.row, lists_of(recipe.scorers[source].propose(owners, 2)), strict=True):
            assert w.users.opted_out[row] or [group[i] for i, _ in found] == [w.user_group[row]] * 2

    def test_bad_rows_are_rejected_and_counted(self, bundle: Bundle, tmp_path: Path) -> None:
        nan, long = [float("nan"), 0.0, 0.0], [1.0] * 4
        rows: dict[str, dict[int, Any]] = {
            "vector": {0: nan, 1: None, 2: long, 3: [1e20, 0.0, 0.0]},
            "id": {4: None, 5: "", 6: "nobody"},
        }
        columns = changed(vectors(AS_OF - DAY), **rows)
        columns = {name: [*column, column[10]] for name, column in columns.items()}
        columns["as_of"][11] = None
        found = fitted(self.spec, write(tmp_path / "bad", columns))
        aside = {k: v for k, v in found.config["set_aside"].items() if k != "opted out"}
        assert aside == {"no as_of": 1, "no id": 2, "unknown id": 1, "wrong length": 2, "not finite": 2, "repeated": 1}
        known = found.maps["user"].rows_of(bundle.maps["user"].ids)
        left = bundle.arrays["user_vectors"][known >= 0]
        assert np.array_equal(found.arrays["user_vectors"][known[known >= 0]], left)

    def test_vectors_of_one_side_alone_are_refused(self, tmp_path: Path) -> None:
        people = {name: column[: len(world().users)] for name, column in vectors(AS_OF).items()}
        with pytest.raises(DataError, match=r"of both users and startups .* got \d+ and 0 of"):
            fitted(self.spec, write(tmp_path / "people", people))

    def test_other_kinds_of_lists_and_numbers_are_read(self, bundle: Bundle, tmp_path: Path) -> None:
        columns = vectors(AS_OF - DAY)
        given = pa.array([np.float32(v).tolist() for v in columns["vector"]])
        for kind in (pa.list_(pa.float32(), GROUPS), pa.large_list(pa.float64())):
            other = columns | {"vector": given.cast(kind), "id": pa.array(columns["id"]).dictionary_encode()}
            assert fitted(self.spec, write(tmp_path / "other", other)).digest() == bundle.digest()
        half = columns | {"vector": given.cast(pa.list_(pa.float16()))}
        found = fitted(self.spec, write(tmp_path / "half", half)).arrays["user_vectors"]
        assert found == pytest.approx(bundle.arrays["user_vectors"], abs=1e-3)

    def test_lists_of_one_size_may_be_blank(self, tmp_path: Path) -> None:
        columns = changed(vectors(AS_OF), vector={0: None, 1: [None, 1.0, 1.0]})
        sized = columns | {"vector": pa.array(columns["vector"], pa.list_(pa.float32(), GROUPS))}
        aside = fitted(self.spec, write(tmp_path / "sized", sized)).config["set_aside"]
        assert aside["wrong length"] + aside["not finite"] == 2


class TestScores(ExternalContract):
    spec = SCORES
    columns = staticmethod(scores)

    @pytest.mark.parametrize("surface", list(Surface))
    def test_it_proposes_and_scores_just_what_it_has(self, bundle: Bundle, surface: Surface) -> None:
        w, source = world(), SCORES.source
        assert source is not None
        recipe, owners = self.recipe(surface, bundle, self.settings), w.owners(surface)
        found = recipe.scorers[source].propose(owners, 100)
        assert len(found.item)
        mine, theirs = w.group(surface.owner)[owners.row], w.group(surface.item)[recipe.catalogue]
        assert (mine[found.owner] == theirs[found.item]).all()
        silent = w.users.opted_out
        out = owners.opted_out if surface.owner is Entity.USER else silent[recipe.catalogue]
        at = found.owner if surface.owner is Entity.USER else found.item
        assert not out[at].any()

    def test_bad_rows_are_rejected_and_counted(self, tmp_path: Path) -> None:
        columns = scores(AS_OF)
        silent = set(world().users.ids.ids[world().users.opted_out].tolist())
        left = {
            n: [v for v, u in zip(c, columns["user_id"], strict=True) if u not in silent] for n, c in columns.items()
        }
        rows: dict[str, dict[int, Any]] = {
            "score": {0: None, 1: float("inf")},
            "user_id": {2: "nobody"},
            "startup_id": {3: None},
        }
        bad = changed(left, **rows)
        bad = {name: [*column, column[10]] for name, column in bad.items()}
        found = fitted(self.spec, write(tmp_path / "bad", bad))
        aside = {"no id": 1, "unknown id": 1, "not finite": 2, "repeated": 1}
        assert found.config["set_aside"] == aside and found.config["pairs"] == len(left["score"]) - 4


def test_names_of_sources_and_owners_are_as_given() -> None:
    made = external.scores("theirs", 11, "label", ("a", "b"), USERS)
    assert (made.bundle, made.table_name, made.owners) == ("theirs_v1", "theirs", USERS)
    assert made.source is not None and (made.source.name, made.source.bit) == ("theirs", 1 << 11)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "shut", vectors(AS_OF))
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        fitted(VECTORS, path)


def test_an_earlier_fit_gets_no_later_set(tmp_path: Path) -> None:
    """The same data at a historical cutoff: the set of the build's cutoff is too late."""
    path = write(tmp_path / "given", vectors(AS_OF))
    data = ExternalData(VECTORS, SMALL, world().interactions, AS_OF_US, ExternalConfig(str(path)))
    assert function(VECTORS.fit)(data).config["known_before_us"] == AS_OF_US
    with pytest.raises(TooSparse, match="write a set of what was known by then"):
        function(VECTORS.fit)(replace(data, as_of_us=AS_OF_US - 1))
