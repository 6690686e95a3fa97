"""Write the required training files for a matrix by hand (D02-D10, P02, R07, R20, R23)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from models.errors import TooSparse
from pipelines.export import training_files as datasets
from pipelines.export.snapshot import Snapshot
from pipelines.export.training_files import read_matrix, write_sets

ANA, BEN, CY, DEE = (f"0000000{i}-0000-4000-8000-000000000000" for i in "1234")
ACME, BOLT, CORE = (f"a000000{i}-0000-4000-8000-000000000000" for i in "123")
AS_OF = "2024-03-01"


def marketplace() -> Snapshot:
    users = pd.DataFrame({
        "user_id": [ANA, BEN, CY, DEE],
        "role": ["developer", "investor", "developer", "investor"],
        "opted_out_at": ["", "", "2024-02-01", ""],
        "location": ["Bern, CH", "", "", ""],
    })  # fmt: skip
    startups = pd.DataFrame({"startup_id": [ACME, BOLT, CORE], "category": ["air", "", ""], "stage": ["", "", "seed"]})
    events = [
        (ANA, ACME, "view", "2024-01-01"), (ANA, ACME, "apply", "2024-01-02T03:04:05.678901Z"),
        (ANA, CORE, "like", "2024-01-03"), (ANA, CORE, "dislike", "2024-01-04"),
        (BEN, CORE, "interest", "2024-01-05"), (CY, BOLT, "interest", "2024-01-06"),
    ]  # fmt: skip
    columns = ["user_id", "startup_id", "interaction_type", "occurred_at"]
    return Snapshot.from_frames(users, startups, pd.DataFrame(events, columns=columns), AS_OF)


def test_forward_and_reverse_files_hold_the_same_matrix_both_ways_round(tmp_path: Path) -> None:
    sizes = write_sets(marketplace(), tmp_path)
    assert sizes == {
        "als_interactions.npz": 3, "als_user_mapping.json": 2, "als_item_mapping.json": 2,
        "als_interactions_reverse.npz": 3, "als_reverse_user_mapping.json": 2, "als_reverse_item_mapping.json": 2,
        "two_tower_train.csv": 5}  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(sizes)
    forward, users, startups = read_matrix(tmp_path)
    assert users.ids.tolist() == [ANA, BEN]  # Cy opted out (R23), Dee has no events
    assert startups.ids.tolist() == [ACME, CORE]  # only Cy has events with Bolt
    assert forward.toarray().tolist() == [[3.5, -1.0], [0.0, 3.5]]  # 0.5 + 3.0; the last opinion decides (R07)
    reverse, rows, columns = read_matrix(tmp_path, reverse=True)
    assert (rows.ids.tolist(), columns.ids.tolist()) == (startups.ids.tolist(), users.ids.tolist())  # the axes (R20)
    assert np.array_equal(reverse.toarray(), forward.toarray().T)
    assert reverse.has_sorted_indices
    assert sparse.load_npz(tmp_path / "als_interactions.npz").dtype == np.float32


def test_mappings_lead_both_ways(tmp_path: Path) -> None:
    write_sets(marketplace(), tmp_path)
    mapping = json.loads((tmp_path / "als_item_mapping.json").read_text())
    assert mapping == {"ids": [ACME, CORE], "rows": {ACME: 0, CORE: 1}}  # the id mapping (D02)


def test_the_two_tower_set_has_a_line_an_event(tmp_path: Path) -> None:
    write_sets(marketplace(), tmp_path)
    with (tmp_path / "two_tower_train.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[1] == {
        "user_id": ANA, "startup_id": ACME, "interaction_type": "apply", "weight": "3", "user_role": "developer",
        "occurred_at": "2024-01-02 03:04:05.678901Z", "user_location": "Bern, CH", "startup_category": "air",
        "startup_field": "", "startup_type": "", "startup_stage": "", "startup_location": ""}  # fmt: skip
    assert [line["weight"] for line in lines] == ["0.5", "3", "2", "-1", "3.5"]
    assert {line["user_id"] for line in lines} == {ANA, BEN}


def test_those_with_few_interactions_are_left_out(tmp_path: Path) -> None:
    write_sets(marketplace(), tmp_path, min_interactions=2)
    forward, users, _ = read_matrix(tmp_path)
    assert users.ids.tolist() == [ANA]
    assert forward.toarray().tolist() == [[3.5, -1.0]]


def test_no_remaining_owner_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        TooSparse, match=r"at least 5 interactions.*most active of 2 people has 4.*lower --min-interactions"
    ):
        write_sets(marketplace(), tmp_path / "none", min_interactions=5)
    assert not (tmp_path / "none").exists()


def test_the_same_snapshot_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sets(marketplace(), tmp_path / "one")
    monkeypatch.setattr(datasets, "_LINES", 2)
    write_sets(marketplace(), tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_world_of_opted_out_users_has_empty_sets(tmp_path: Path) -> None:
    snapshot = marketplace()
    everybody = snapshot.users.to_pandas().assign(opted_out_at="2024-01-01", created_at="", updated_at="")
    events = pd.DataFrame(
        [(ANA, ACME, "view", "2024-01-01")], columns=["user_id", "startup_id", "interaction_type", "occurred_at"]
    )
    sizes = write_sets(Snapshot.from_frames(everybody, snapshot.startups.to_pandas(), events, AS_OF), tmp_path)
    assert set(sizes.values()) == {0}
    assert (tmp_path / "two_tower_train.csv").read_text().startswith('"user_id","startup_id"')
