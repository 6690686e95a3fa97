"""What is declared of a model, once: its bundle, where it is fitted and opened, its settings and what it proposes.

`models/registry.py` lists the specs; everything else asks them. Standard library only, as the reader and the DAG files
import this: functions are named by text and looked up when they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any

from models.schema import Entity
from models.setting import flat_name, rules

#: Codes of sources: two bytes of bits a place.
CODES = 16
USERS, STARTUPS = frozenset({Entity.USER}), frozenset({Entity.STARTUP})
BOTH = USERS | STARTUPS


class Stage(StrEnum):
    """When a model is fitted. BASE: from the snapshot alone, in any order. BLEND and RANKER: afterwards, from what base
    models fitted before earlier cuts said of what was still to come."""

    BASE = "base"
    BLEND = "blend"
    RANKER = "ranker"


@dataclass(frozen=True)
class Source:
    """What proposes a candidate.

    name: public; part of the name of a ranker's feature (score_als). code: stored as `1 << code`, 15 at most, never
    changed or used again. label: on the page. reason: in words, to a user and to a founder.
    """

    name: str
    code: int
    label: str
    reason: tuple[str, str]

    def __post_init__(self) -> None:
        if not 0 <= self.code < CODES:
            raise ValueError(
                f"the code of source {self.name} must lie in 0..{CODES - 1}, got {self.code}; take a free one"
            )

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def bit(self) -> int:
        return 1 << self.code


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    name: of the task `train.<name>` and, unless `table` is given, of its table of settings. bundle: directory and file
    prefix ("als_v1"); empty where nothing is fitted. title: a line for people. rows: what a row of its arrays is.
    fit: "module:function". BASE: (TrainingData) -> Bundle. BLEND and RANKER: what the second stage calls.
    config: the table of settings, a frozen dataclass of `models.setting.setting` fields.
    source: None for facts, blends and rankers. owners: whose lists it proposes for.
    scorer: "module:function". Of a source (Bundle, Sides, Source) -> Scorer; of a ranker (Ranking, config) -> Ranker or
    None where it may not serve. fold_in: (Scorer, Bundle, Sides) -> Fold or None.
    switch: the settings that must all be on, such as "routing.enable_als". pin: the setting that pins a directory.
    demand_weighted: it proposes once more, by score times predicted demand. required: no release without it.
    optional: ordinary data do without it. cheap: leak checks fit it again in every build.
    extend: newcomers in a refresh, (Bundle, Newcomers) -> arrays. forget: erasure beyond blank rows.
    command: a command, then the options that replace a setting of the table, "option=field" where they differ.
    kind: of a ranker, what the setting `ranker` calls it.
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
    cheap: bool = False
    extend: str = ""
    forget: str = ""
    command: tuple[str, ...] = ()
    stage: Stage = Stage.BASE
    kind: str = ""

    @property
    def table_name(self) -> str:
        """The table of its settings in matchbook.toml."""
        return self.table or self.name

    @property
    def tuned(self) -> tuple[str, ...]:
        """The fields of its table that tuning searches."""
        return tuple(name for name, rule in rules(self.config).items() if rule.tune) if self.config else ()

    @property
    def pin_field(self) -> str:
        """The flat name of its pin; empty where it has none."""
        return self.pin.rpartition(".")[2]

    def off(self, settings: Any) -> list[str]:
        """The variables of those of its switches that are off; empty where it may be used (G01-G03)."""
        return [path.rpartition(".")[2].upper() for path in self.switch if not settings.at(path)]


def function(text: str) -> Callable[..., Any]:
    """The function that "module:function" names. Raises ImportError or AttributeError where there is none."""
    module, _, name = text.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def flat_names(table: str, config: type) -> dict[str, str]:
    """By field of a table the name under which it is recorded, tuned and changed by experiments."""
    return {name: flat_name(table, name, rule) for name, rule in rules(config).items()}
