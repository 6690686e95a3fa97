"""The declaration of a model: bundle, functions, settings and source of candidates.

`models/registry.py` lists all specs. Standard library only, because the reader and the DAG files import this. So
functions are named as text and imported when called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any

from models.schema import Entity
from models.setting import flat_name, rules

#: Number of source codes: bits of two bytes.
CODES = 16
USERS, STARTUPS = frozenset({Entity.USER}), frozenset({Entity.STARTUP})
BOTH = USERS | STARTUPS


class Stage(StrEnum):
    """When a model is trained.

    BASE: from the snapshot alone, in any order.
    BLEND and RANKER: after the base models, on predictions of base models trained before historical cutoffs, and their
    outcomes.
    """

    BASE = "base"
    BLEND = "blend"
    RANKER = "ranker"


@dataclass(frozen=True)
class Source:
    """A source of candidates.

    name: public; part of feature names (score_als). code: stored as `1 << code`, at most 15, never changed or reused.
    label: on the page. reason: text for a user and for a founder.
    counted: the same with {n} and {done}, for a model that counts people; its scorer is a `CountingScorer`.
    similar: text in lists of similar startups and of similar people; similar_counted: of startups, counted.
    """

    name: str
    code: int
    label: str
    reason: tuple[str, str]
    counted: tuple[str, str] = ("", "")
    similar: tuple[str, str] = ("", "")
    similar_counted: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.code < CODES:
            raise ValueError(
                f"the code of source {self.name} must be in 0..{CODES - 1}, got {self.code}; take a free one"
            )

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def bit(self) -> int:
        return 1 << self.code

    def said(self, voice: int) -> str:
        """Return its text in a kind of lists, see `ListKind.voice`; empty without one."""
        return (*self.reason, *self.similar)[voice]

    def said_counted(self, voice: int) -> str:
        """Return its text with {n} and {done}; empty without one."""
        return (*self.counted, self.similar_counted, "")[voice]


@dataclass(frozen=True)
class ModelSpec:
    """A model. Functions are named "module:function".

    name: of the task `train.<name>` and, without `table`, of its table of settings. bundle: directory and file prefix
    ("als_v1"), or empty. title: one line for people. arrays, rows: its arrays, and what a row is.
    fit: BASE: (TrainingData) -> Bundle. BLEND and RANKER: as the second stage calls it.
    config: the table of settings, a frozen dataclass of `models.setting.setting` fields.
    source: None for facts, blends and rankers. owners: kinds of owners that it proposes for.
    scorer: of a source (Bundle, Sides, Source) -> Scorer; of a ranker (RankerAsked, config) -> Ranker, or None if it
    may not serve. fold_in: (Scorer, Bundle, Sides) -> FoldIn or None.
    switch: settings that must all be on. pin: setting that pins a directory.
    demand_weighted: also proposes by score times demand. required: a release needs it. optional: not on all data.
    quick: most of fields of its table in fits at rolling-origin cutoffs. These models only make features.
    cheap: leak checks train it in every build. extend: new entities in a refresh, (Bundle, Newcomers) -> Bundle.
    forget: erasure beyond blank rows.
    command: a command, then options that replace a setting of the table, "option=field" if the names differ.
    kind: a ranker's name in the setting `ranker` and in answers. code: of a ranker, stored in lists, never reused; from
    2 on, the next free one is 6.
    """

    name: str
    bundle: str
    title: str
    rows: str
    arrays: str
    fit: str
    config: type | None = None
    table: str = ""
    source: Source | None = None
    owners: frozenset[Entity] = BOTH
    scorer: str = ""
    fold_in: str = ""
    switch: tuple[str, ...] = ()
    pin: str = ""
    demand_weighted: bool = False
    required: bool = False
    optional: bool = False
    quick: tuple[tuple[str, bool | int], ...] = ()
    cheap: bool = False
    extend: str = ""
    forget: str = ""
    command: tuple[str, ...] = ()
    stage: Stage = Stage.BASE
    kind: str = ""
    code: int = 0

    @property
    def table_name(self) -> str:
        return self.table or self.name

    @property
    def tuned(self) -> tuple[str, ...]:
        """Return the fields of its table that tuning searches."""
        return tuple(name for name, rule in rules(self.config).items() if rule.tune) if self.config else ()

    @property
    def pin_field(self) -> str:
        """Return the flat name of its pin; empty without one."""
        return self.pin.rpartition(".")[2]

    def off(self, settings: Any) -> list[str]:
        """Return the variables of its switches that are off; empty if it may be used (G01-G03)."""
        return [path.rpartition(".")[2].upper() for path in self.switch if not settings.at(path)]


def function(text: str) -> Callable[..., Any]:
    """Import "module:function". Raises ImportError or AttributeError."""
    module, _, name = text.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def flat_names(table: str, config: type) -> dict[str, str]:
    """Return the flat name of each field of a table, see `Rule`."""
    return {name: flat_name(table, name, rule) for name, rule in rules(config).items()}
