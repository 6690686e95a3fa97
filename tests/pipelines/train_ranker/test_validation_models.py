"""Apply models of an earlier build to present users: rows follow ids, new users have none."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from models.data.bundle import Bundle
from models.data.entities import IdMap
from pipelines.train_ranker.validation_models import reindexed
from tests.pipelines.train.market import ids


def test_rows_follow_their_ids_and_who_is_new_has_zeros() -> None:
    then, now = IdMap.from_ids(ids("user", 5)), IdMap.from_ids([*ids("user", 5)[1:], *ids("new", 3)])
    met = sparse.csr_matrix(np.arange(1, 16, dtype=np.float32).reshape(5, 3))
    arrays = {
        "user_facts": np.arange(10.0).reshape(5, 2),
        "user_demand": np.arange(5, dtype=np.float32),
        "category_data": met.data,
        "category_indices": met.indices,
        "category_indptr": met.indptr,
        "clock_share": np.arange(5.0),
    }
    found = reindexed(Bundle("activity_v1", {}, arrays, {"user": then}), {"user": now})
    csr = sparse.csr_matrix(tuple(found.arrays[f"category_{p}"] for p in ("data", "indices", "indptr")), shape=(7, 3))
    for row, name in enumerate(now.ids.tolist()):
        before = int(then.rows_of([name])[0])
        known = before >= 0
        assert found.arrays["user_demand"][row] == (arrays["user_demand"][before] if known else 0)
        assert found.arrays["user_facts"][row].tolist() == (arrays["user_facts"][before].tolist() if known else [0, 0])
        assert csr[row].toarray()[0].tolist() == (met[before].toarray()[0].tolist() if known else [0, 0, 0])
    assert found.arrays["clock_share"].tolist() == [0, 1, 2, 3, 4] and found.maps["user"] is now
