"""Declares a setting where it is used, with unit, bounds, phase and tuning grid.

A table of settings is a frozen dataclass whose fields are made by `setting`. Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """When a setting takes effect, and so what must be computed again when it changes.

    DEPLOY: locations and machine limits; not recorded with a build. TRAIN: used by base models, part of the cache key
    of the validation split's models. RANK: one value per release, used after base models are trained. SERVE: used with
    trained models, so an experiment's arm may change it.
    """

    DEPLOY = "deploy"
    TRAIN = "train"
    RANK = "rank"
    SERVE = "serve"


@dataclass(frozen=True)
class Idle:
    """A condition under which a setting has no effect. Every part of it must hold.

    rankers: kinds of the ranker that serves, any of them, "off" for none; empty: whichever ranker serves.
    where: the "table.key" of another setting, and the values of it, any of them.
    """

    rankers: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[Any, ...]], ...] = ()


@dataclass(frozen=True)
class Rule:
    """The declaration of a setting besides its name, type and default.

    doc: one line for people. unit: of the value, or empty. low, high: inclusive bounds. choices: the only values.
    phase: when it takes effect. tune: values that tuning tries. flat: the name in records, tuning and experiments, by
    default "<table>_<field>". was: the environment variable, by default "MATCHBOOK_<FLAT>".
    idle: conditions, any of them, under which the setting does not affect the lists.
    """

    doc: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    phase: Phase = Phase.TRAIN
    tune: tuple[Any, ...] = ()
    flat: str = ""
    was: str = ""
    idle: tuple[Idle, ...] = ()


def setting(
    default: Any,
    doc: str,
    *,
    phase: Phase,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] = (),
    tune: Sequence[Any] = (),
    flat: str = "",
    was: str = "",
    idle: Sequence[Idle] = (),
) -> Any:
    """A field of a table of settings, see `Rule`."""
    rule = Rule(doc, unit, low, high, tuple(choices), phase, tuple(tune), flat, was, tuple(idle))
    return field(default=default, metadata={"rule": rule})


def flat_name(table: str, key: str, rule: Rule) -> str:
    """The flat name of a setting, see `Rule`. table: "" for the environment."""
    return rule.flat or (f"{table}_{key}" if table else key)


def rules(table: type) -> dict[str, Rule]:
    """By field the rule of each setting of a table, in the order of declaration."""
    return {f.name: f.metadata["rule"] for f in fields(table)}
