"""Check the sample marketplace: same bytes, all documented traits, a truth that models can find."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from models.errors import DataError
from models.schema import INTERACTION_TYPES, TABLES, Table
from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.ingest.ingest import import_folder
from pipelines.sample.sample import ENDS, write_sample

FILES = ("users.csv", "startups.csv", "interactions.csv", "truth.csv")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("sample")
    write_sample(out, 600, 160, 25, seed=5)
    return out


@pytest.fixture(scope="module")
def tables(market: Path) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(market / name, keep_default_na=False) for name in FILES}


@pytest.fixture(scope="module")
def events(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return every event with the tastes of both sides."""
    truth = tables["truth.csv"].set_index("id")[["category", "field", "second_category"]]
    events = tables["interactions.csv"].join(truth, on="user_id").join(truth.add_suffix("_s"), on="startup_id")
    return events.assign(at=pd.to_datetime(events["occurred_at"]))


def digest(folder: Path) -> str:
    return sha256(b"".join((folder / name).read_bytes() for name in FILES)).hexdigest()


def test_equal_arguments_give_equal_bytes_and_another_seed_others(market: Path, tmp_path: Path) -> None:
    counts = write_sample(tmp_path / "again", 600, 160, 25, seed=5)
    write_sample(tmp_path / "other", 600, 160, 25, seed=6)
    assert digest(tmp_path / "again") == digest(market) != digest(tmp_path / "other")
    assert {p.name for p in (tmp_path / "again").iterdir()} == set(FILES)
    assert counts["users"] == 600 and counts["startups"] == 160 and counts["truth"] == 760


def test_how_users_are_cut_into_parts_does_not_move_the_truth(
    tables: dict[str, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sample.market.USERS_AT_ONCE", 100)
    write_sample(tmp_path / "parts", 600, 160, 25, seed=5)
    truth = pd.read_csv(tmp_path / "parts" / "truth.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(truth, tables["truth.csv"])
    cut = pd.read_csv(tmp_path / "parts" / "interactions.csv")
    assert 0.8 < len(cut) / len(tables["interactions.csv"]) < 1.25


def test_every_trait_is_there(tables: dict[str, pd.DataFrame], events: pd.DataFrame) -> None:
    users, startups = tables["users.csv"], tables["startups.csv"]
    assert set(users["role"]) == {"developer", "investor", "founder"}
    assert set(events["interaction_type"]) == set(INTERACTION_TYPES)
    for column in ("opted_out_at", "created_at", "updated_at", "skills", "location"):
        assert 0 < (users[column] == "").sum() < len(users), column
    for column in ("withdrawn_at", "created_at", "updated_at", "founder_id", "description", "views"):
        assert 0 < (startups[column] == "").sum() < len(startups), column
    assert set(startups["founder_id"]) - {""} <= set(users["user_id"][users["role"] == "founder"])
    per_user = events.groupby("user_id").size().reindex(users["user_id"], fill_value=0)
    assert all(((low <= per_user) & (per_user <= high)).mean() > 0.05 for low, high in ((0, 4), (5, 19), (20, 9999)))
    assert (per_user == 0).any() and events["startup_id"].nunique() < len(startups)
    assert 0.7 < len(events) / (600 * 25) < 1.4


def test_nothing_happens_before_its_time(tables: dict[str, pd.DataFrame], events: pd.DataFrame) -> None:
    for side, name in (("user_id", "users.csv"), ("startup_id", "startups.csv")):
        table = tables[name].set_index(side)
        born = pd.to_datetime(events[side].map(table["created_at"]).replace("", None), utc=True)
        assert not (events["at"] < born).any()
    gone = pd.to_datetime(
        events["startup_id"].map(tables["startups.csv"].set_index("startup_id")["withdrawn_at"]).replace("", None),
        utc=True,
    )
    assert not (events["at"] >= gone).any()
    assert (
        events["at"].is_monotonic_increasing
        and not events.duplicated(["user_id", "startup_id", "interaction_type", "occurred_at"]).any()
    )
    assert pd.Timestamp(ENDS) - pd.Timedelta(days=1) < events["at"].max() < pd.Timestamp(ENDS)


def test_the_counter_of_views_is_that_of_its_time(tables: dict[str, pd.DataFrame], events: pd.DataFrame) -> None:
    startups = tables["startups.csv"].set_index("startup_id")
    written = pd.to_datetime(startups["updated_at"].replace("", None), utc=True)
    seen = events[(events["interaction_type"] == "view") & (events["at"] < events["startup_id"].map(written))]
    expected = seen.groupby("startup_id").size().reindex(startups.index, fill_value=0)
    known = startups["views"] != ""
    assert (startups["views"][known].astype(int) == expected[known]).all() and expected[known].sum() > 100


def test_times_have_a_day_a_week_and_growth(events: pd.DataFrame) -> None:
    hour, weekday = events["at"].dt.hour, events["at"].dt.day_of_week
    assert hour.between(8, 20).mean() > 0.65 and (weekday >= 5).mean() < 0.22
    months = events["at"].dt.strftime("%Y-%m").value_counts().sort_index()
    assert months.iloc[-4:-1].mean() > 3 * months.iloc[:4].mean()


def test_popularity_has_a_long_tail(events: pd.DataFrame) -> None:
    sizes = events["startup_id"].value_counts()
    assert sizes.head(len(sizes) // 10).sum() / len(events) > 0.3 and sizes.iloc[0] > 10 * sizes.median()


def test_people_act_on_their_taste_far_over_chance(events: pd.DataFrame) -> None:
    same = events["category"] == events["category_s"]
    chance = (events["category"].value_counts(normalize=True) * events["category_s"].value_counts(normalize=True)).sum()
    assert same.mean() > 0.75 > 3 * chance
    niche = same & (events["field"] == events["field_s"])
    assert niche.mean() > 0.5
    disliked = events["interaction_type"] == "dislike"
    assert same[disliked].mean() < 0.6 < 0.9 < same[events["interaction_type"].isin(["apply", "interest"])].mean()


def test_factors_of_the_matrix_find_the_markets(tables: dict[str, pd.DataFrame], events: pd.DataFrame) -> None:
    """A truncated SVD of ids alone gives startups of one market similar factors."""
    counted = events.groupby(["user_id", "startup_id"]).size().unstack(fill_value=0).to_numpy(float)
    startups = np.sort(events["startup_id"].unique())
    market = tables["truth.csv"].set_index("id")["category"].reindex(startups).to_numpy()
    _, _, factors = np.linalg.svd(np.log1p(counted) - np.log1p(counted).mean(axis=0), full_matrices=False)
    vectors = factors[:12].T
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -2)
    chance = (pd.Series(market).value_counts(normalize=True) ** 2).sum()
    assert (market[likeness.argmax(axis=1)] == market).mean() > 0.6 > 2 * chance


def test_texts_of_users_predict_their_events(tables: dict[str, pd.DataFrame], events: pd.DataFrame) -> None:
    """The startup with the text closest to a profile is nearly always of that user's market."""
    users, startups = tables["users.csv"], tables["startups.csv"]
    spoken = users[users["interests"] != ""]
    said = (spoken["interests"] + " " + spoken["skills"]).str.replace(";", " ")
    pages = startups["description"] + " " + startups["tags"].str.replace(";", " ")
    words = TfidfVectorizer().fit(pages)
    nearest = (words.transform(said) @ words.transform(pages).T).toarray().argmax(axis=1)
    truth = tables["truth.csv"].set_index("id")["category"]
    offered = truth.reindex(startups["startup_id"].to_numpy()[nearest]).to_numpy()
    assert (offered == truth.reindex(spoken["user_id"]).to_numpy()).mean() > 0.8


@pytest.mark.parametrize("table", TABLES, ids=[t.name for t in TABLES])
def test_it_has_no_column_that_is_not_declared(table: Table, tables: dict[str, pd.DataFrame]) -> None:
    columns = set(tables[table.file].columns)
    assert columns <= set(table.names), f"{table.file}: {sorted(columns - set(table.names))} of no field"
    assert set(table.required) <= columns


def test_the_importer_takes_all_of_it(settings: Settings, market: Path, tables: dict[str, pd.DataFrame]) -> None:
    loaded = import_folder(settings, market)
    assert not loaded.rejected
    assert loaded.counts == {name: len(tables[f"{name}.csv"]) for name in ("users", "startups", "interactions")}


@pytest.mark.parametrize("users,startups", [(2, 1), (3, 2), (30, 3)])
def test_the_smallest_markets_work(tmp_path: Path, users: int, startups: int) -> None:
    counts = write_sample(tmp_path, users, startups, 4, ends=datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert counts["users"] == users and counts["startups"] == startups
    roles = pd.read_csv(tmp_path / "users.csv")["role"]
    assert {"developer", "investor"} <= set(roles)
    assert (pd.read_csv(tmp_path / "interactions.csv")["occurred_at"] < "2020-02-03T04:05:06Z").all()


@pytest.mark.parametrize("options", [["--users", "1"], ["--ends", "1970-06-01"]])
def test_a_size_that_makes_no_market_is_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(tmp_path / "out"), *options]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "DataError: " in said.err and not (tmp_path / "out").exists()


def test_no_size_can_be_written_as_an_error_says() -> None:
    with pytest.raises(DataError, match="at least 2 users"):
        write_sample(Path("never"), 0, 0)
