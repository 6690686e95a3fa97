"""Fit the learned ranker: it finds planted signals, repeats its bytes, refuses too little data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from models.errors import TrainingError
from models.learned_ranker.fit import LEARNERS, RankerRows, fit_learned_ranker
from models.learned_ranker.scorer import EVENTS, EVERYBODY, KNOWN, STRANGERS
from models.settings.settings import Settings
from pipelines.train_ranker.learned import teaching

LISTS, LENGTH = 150, 20
NAMES = ("straight", "corner", "noise_a", "noise_b", EVENTS)
SETTINGS = Settings(train_threads=1)


def planted(seed: int = 0) -> RankerRows:
    """Plant two positives of twenty: the best in `straight`, and the nearest to zero in `corner`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(LISTS * LENGTH, len(NAMES))).astype(np.float32)
    x[:, 4] = 7
    group = np.repeat(np.arange(LISTS), LENGTH)
    worth = x[:, 0] - 1.5 * np.abs(x[:, 1]) + rng.normal(0, 0.3, len(x))
    rank = np.lexsort((-worth, group))
    label = np.zeros(len(x), np.int8)
    label[rank.reshape(LISTS, LENGTH)[:, :2].ravel()] = 1
    return RankerRows(NAMES, x, label, group)


def hits(score: np.ndarray, rows: RankerRows) -> float:
    """Return the share of positives in the first two places of lists."""
    best = np.argsort(-score.reshape(LISTS, LENGTH), axis=1)[:, :2]
    return float(np.take_along_axis(rows.label.reshape(LISTS, LENGTH), best, 1).mean())


def test_a_planted_signal_is_found_and_noise_gains_little() -> None:
    taught, unseen = fit_learned_ranker(planted(), *teaching(SETTINGS)), planted(seed=1)

    gain = taught.about["gain"]
    assert gain["straight"] + gain["corner"] > 0.9 and EVENTS not in gain
    assert max(gain["noise_a"], gain["noise_b"]) < 0.06
    assert hits(taught.ranker.score(unseen.features), unseen) > 0.7  # random order gives 0.1


def test_each_learner_finds_what_it_can() -> None:
    """Trees can learn a corner, the regression cannot. Their raw scores are put on one scale."""
    rows = planted()
    ranker = fit_learned_ranker(rows, *teaching(SETTINGS)).ranker
    average = ranker.parts[EVERYBODY]
    raw = [learner.score(rows.features) for learner in average.learners]

    assert len(raw) == len(LEARNERS)
    found = [hits(r, rows) for r in raw]
    assert all(f > found[0] + 0.1 for f in found[1:]) and found[0] > 0.2
    for score, centre, spread in zip(raw, average.centre, average.spread, strict=True):
        assert ((score - centre) / spread).mean() == pytest.approx(0, abs=1e-4)
        assert ((score - centre) / spread).std() == pytest.approx(1, abs=1e-4)


def test_the_same_bytes_again_and_beside_another_fit() -> None:
    rows = planted()
    first = fit_learned_ranker(rows, *teaching(SETTINGS))
    with ThreadPoolExecutor(2) as pool:
        again, two = pool.map(lambda _: fit_learned_ranker(rows, *teaching(SETTINGS)), range(2))

    for other in (again, two):
        assert first.about == other.about and set(first.arrays) == set(other.arrays)
        assert all(first.arrays[k].tobytes() == other.arrays[k].tobytes() for k in first.arrays)


def test_another_seed_is_another_forest() -> None:
    one, other = (
        fit_learned_ranker(planted(), *teaching(SETTINGS.layered({"seed": seed}, "given"))) for seed in (1, 2)
    )
    assert one.arrays["everybody-logistic_weight"].tobytes() == other.arrays["everybody-logistic_weight"].tobytes()
    assert one.arrays["everybody-binary_value"].tobytes() != other.arrays["everybody-binary_value"].tobytes()


def test_too_few_positives_are_refused() -> None:
    """The ranker needs 100 positives (C53)."""
    with pytest.raises(TrainingError, match=r"300 positives .*, 301 needed \(C53\)"):
        fit_learned_ranker(planted(), *teaching(SETTINGS.layered({"ranker_min_positives": 301}, "given")))


def test_positives_alone_give_no_order() -> None:
    rows = planted()
    with pytest.raises((TrainingError, ValueError)):
        fit_learned_ranker(replace(rows, label=np.ones_like(rows.label)), *teaching(SETTINGS))


def test_its_report() -> None:
    rows = planted()
    about = fit_learned_ranker(rows, *teaching(SETTINGS)).about
    assert about["features"] == list(NAMES) and about["learners"] == list(LEARNERS)
    assert (about["rows"], about["positives"]) == (3000, 300) and set(about["parts"]) == {EVERYBODY}
    assert (about["parts"][EVERYBODY]["rows"], about["parts"][EVERYBODY]["lists"]) == (3000, 150)
    assert sum(about["gain"].values()) == pytest.approx(1, abs=1e-3)


def test_unseen_owners_are_trained_apart_if_there_are_enough() -> None:
    """A signal attracts known owners and repels unseen owners. Each part learns its own sign."""
    known, other = planted(), planted(seed=2)
    strange = other.features.copy()
    strange[:, 0] *= -1
    strange[:, 4] = 0
    rows = RankerRows(
        NAMES,
        np.concatenate([known.features, strange]),
        np.concatenate([known.label, other.label]),
        np.concatenate([known.group, other.group + LISTS]),
    )

    taught = fit_learned_ranker(rows, *teaching(SETTINGS))

    assert {name: part["positives"] for name, part in taught.about["parts"].items()} == {KNOWN: 300, STRANGERS: 300}
    assert taught.arrays["known-logistic_weight"][0] > 0 > taught.arrays["strangers-logistic_weight"][0]
    score = taught.ranker.score(rows.features)
    half = LISTS * LENGTH
    assert hits(score[:half], known) > 0.7 and hits(score[half:], other) > 0.7
    assert set(
        fit_learned_ranker(rows, *teaching(SETTINGS.layered({"ranker_min_positives": 301}, "given"))).about["parts"]
    ) == {EVERYBODY}


def test_rows_without_some_columns() -> None:
    rows = planted().without(("noise", EVENTS))
    assert rows.names == ("straight", "corner") and np.array_equal(rows.features, planted().features[:, :2])


def test_rows_that_do_not_fit_together_are_named() -> None:
    rows = planted()
    with pytest.raises(TrainingError, match=r"expected 4 features, .*got \(3000, 5\).*build the rows again"):
        RankerRows(NAMES[:4], rows.features, rows.label, rows.group)
