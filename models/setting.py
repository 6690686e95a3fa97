"""Declares a setting where it is used, with unit, bounds, phase and tuning grid.

A table of settings is a frozen dataclass whose fields come from `setting`. Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """When a setting takes effect, and so what a change computes again.

    DEPLOY: locations and machine limits, not recorded with a build.
    TRAIN: used by base models; part of the cache key of the validation split's models.
    RANK: used after base models are trained; one value per release.
    SERVE: used with trained models, so an experiment's arm may change it.
    """

    DEPLOY = "deploy"
    TRAIN = "train"
    RANK = "rank"
    SERVE = "serve"


@dataclass(frozen=True)
class Idle:
    """A condition under which a setting has no effect. All its parts must hold.

    rankers: the serving ranker is one of these kinds, "off" for none; empty: any.
    where: "table.key" of another setting, which has one of these values.
    """

    rankers: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[Any, ...]], ...] = ()


@dataclass(frozen=True)
class Rule:
    """The declaration of a setting, without name, type and default.

    doc: one line for people. unit: of the value, or empty. low, high: inclusive bounds. choices: the only values.
    phase: when it takes effect. tune: values that tuning tries.
    flat: the name in records, tuning and experiments, by default "<table>_<field>".
    was: the environment variable, by default "MATCHBOOK_<FLAT>".
    idle: the setting does not affect the lists if any of these conditions holds.
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
    """Make a field of a table of settings, see `Rule`."""
    rule = Rule(doc, unit, low, high, tuple(choices), phase, tuple(tune), flat, was, tuple(idle))
    return field(default=default, metadata={"rule": rule})


def flat_name(table: str, key: str, rule: Rule) -> str:
    """Return the flat name of a setting, see `Rule`. table: "" for the environment."""
    return rule.flat or (f"{table}_{key}" if table else key)


def rules(table: type) -> dict[str, Rule]:
    """Return the rule of each field of a table, in the order of declaration."""
    return {f.name: f.metadata["rule"] for f in fields(table)}
