"""Make profile texts from the words of a market and niche, as Arrow columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.sample.market import (
    CITIES,
    COMMON_WORDS,
    ENDINGS,
    FIRST_NAMES,
    LAST_NAMES,
    MARKETS,
    NEVER,
    NICHES,
    ROLES,
    STAGES,
    SYLLABLES,
    TYPES,
    Size,
    Startups,
    Users,
)

_WORDS = np.array([market.words for market in MARKETS]).reshape(len(MARKETS), NICHES, -1)
_SKILLS = np.array([market.skills for market in MARKETS])
_FIELDS = np.array([market.fields for market in MARKETS])
_CATEGORIES = np.array([market.category for market in MARKETS])
_CITIES = np.array([*CITIES, ""])  # index -1 is blank
_SILENT = 0.12  # share of profiles without text
DAY = 86_400


def user_rows(size: Size, users: Users, rows: slice) -> pa.Table:
    random = size.randomness(4, rows.start)
    role, market, niche = users.role[rows], users.market[rows], users.niche[rows]
    field, silent = _FIELDS[market, niche], random.random(len(role)) < _SILENT
    title = np.array(["Developer, {}", "Investor in {}", "Founder, {}"])[role]
    headline = [text.format(word) for text, word in zip(title.tolist(), field.tolist(), strict=True)]
    interests = np.concatenate([_CATEGORIES[market][:, None], field[:, None], _said(random, market, niche, 5)], axis=1)
    skills = np.where((role == ROLES.index("investor"))[:, None], "", _picked(random, _SKILLS[market], 3))
    return pa.table(
        {
            "user_id": uuids(users.id[rows]),
            "role": np.array(ROLES)[role],
            "created_at": instants(users.born[rows]),
            "name": _joined(" ", _picked(random, np.array([FIRST_NAMES, LAST_NAMES]), len(role)).T),
            "headline": _unless(silent, headline),
            "skills": _unless(silent, _joined(";", skills)),
            "interests": _unless(silent, _joined(";", interests)),
            "location": _CITIES[users.city[rows]],
            "updated_at": instants(users.updated[rows]),
            "opted_out_at": instants(users.opted_out[rows]),
        }
    )


def startup_rows(size: Size, startups: Startups, users: Users, views: NDArray[np.int64], rows: slice) -> pa.Table:
    """Return some rows of startups.csv. views: the counter at the record's last update."""
    random = size.randomness(5, rows.start)
    market, niche, founder = startups.market[rows], startups.niche[rows], startups.founder[rows]
    n, updated, silent = len(market), startups.updated[rows], random.random(len(market)) < _SILENT
    common = np.array(COMMON_WORDS)[random.integers(0, len(COMMON_WORDS), (n, 4))]
    text = np.concatenate([_said(random, market, niche, 9), common], axis=1)
    name = np.concatenate(
        [
            np.array(SYLLABLES)[random.integers(0, len(SYLLABLES), (n, 3))],
            np.array(ENDINGS)[random.integers(0, len(ENDINGS), (n, 1))],
        ],
        axis=1,
    )
    stage = np.minimum(random.poisson(1 + 2 * (size.end - startups.born[rows]) / (730 * DAY)), len(STAGES) - 1)
    kind = (2 * market + random.integers(0, 2, n)) % len(TYPES)
    return pa.table(
        {
            "startup_id": uuids(startups.id[rows]),
            "name": pc.utf8_capitalize(pa.array(_joined("", name))),
            "description": _unless(silent, _joined(" ", random.permuted(text, axis=1))),
            "category": _CATEGORIES[market],
            "field": _FIELDS[market, niche],
            "type": np.array(TYPES)[kind],
            "tags": _unless(silent, _joined(";", _picked(random, _WORDS[market, niche], 3))),
            "stage": np.array(STAGES)[np.where(startups.born[rows] == NEVER, len(STAGES) - 1, stage)],
            "location": _CITIES[startups.city[rows]],
            "founder_id": pc.if_else(pa.array(founder >= 0), uuids(users.id[founder]), ""),
            "created_at": instants(startups.born[rows]),
            "updated_at": instants(updated),
            "withdrawn_at": instants(startups.withdrawn[rows]),
            "views": pc.if_else(pa.array(updated != NEVER), pc.cast(pa.array(views[rows]), pa.string()), ""),
        }
    )


def truth_rows(users: Users, startups: Startups) -> pa.Table:
    """Return truth.csv: each person's true interests, users first."""
    both = (users, startups)
    market, second, niche = (np.concatenate([getattr(e, name) for e in both]) for name in ("market", "second", "niche"))
    return pa.table(
        {
            "entity": np.repeat(["user", "startup"], [len(users.id), len(startups.id)]),
            "id": uuids(np.concatenate([e.id for e in both])),
            "category": _CATEGORIES[market],
            "field": _FIELDS[market, niche],
            "second_category": _CATEGORIES[second],
            "weight": np.concatenate([users.events.astype(float), startups.weight]).round(4),
        }
    )


def uuids(ids: NDArray[np.uint8]) -> pa.Array:
    """Convert (n, 16) bytes to text."""
    text = ids.tobytes().hex()
    whole = [text[i : i + 32] for i in range(0, len(text), 32)]
    return pa.array([f"{u[:8]}-{u[8:12]}-{u[12:16]}-{u[16:20]}-{u[20:]}" for u in whole], pa.string())


def instants(seconds: NDArray[np.int64]) -> pa.Array:
    """Convert seconds since 1970 to ISO 8601 with Z. NEVER is blank."""
    text = pc.cast(pa.array(np.maximum(seconds, 0)).cast(pa.timestamp("s", "UTC")), pa.string())
    return pc.if_else(pa.array(seconds == NEVER), "", pc.binary_replace_slice(text, 10, 11, "T"))


def _said(random: np.random.Generator, market: NDArray[np.int16], niche: NDArray[np.int16], n: int) -> NDArray[np.str_]:
    """Draw (rows, n) words, three in four from the niche, the others from the market."""
    shape = (len(market), n)
    where = np.where(random.random(shape) < 0.75, niche[:, None], random.integers(0, NICHES, shape))
    said: NDArray[Any] = _WORDS[market[:, None], where, random.integers(0, _WORDS.shape[2], shape)]
    return said


def _picked(random: np.random.Generator, choices: NDArray[np.str_], n: int) -> NDArray[np.str_]:
    """Draw (rows, n) of (rows, some) choices, distinct in each row if there are enough."""
    if n > choices.shape[1]:
        return np.take_along_axis(choices, random.integers(0, choices.shape[1], (len(choices), n)), axis=1)
    places = np.argsort(random.random(choices.shape), axis=1)[:, :n]
    return np.take_along_axis(choices, places, axis=1)


def _joined(between: str, rows: NDArray[np.str_]) -> list[str]:
    return [between.join(filter(None, row)) for row in rows.tolist()]


def _unless(silent: NDArray[np.bool_], text: Sequence[str]) -> pa.Array:
    return pc.if_else(pa.array(silent), "", pa.array(text, pa.string()))
