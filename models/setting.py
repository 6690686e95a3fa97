"""How a setting is declared: beside what it sets, with its unit, bounds, phase and tuning grid.

A table of settings is a frozen dataclass whose fields are made by `setting`. Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """When a setting acts, and hence what must be made again when it changes.

    DEPLOY: where things are and what a machine may use; not recorded with a build. TRAIN: read by base models, part of
    the key of the validation split's models. RANK: one value a release, read after the base models are fitted. SERVE:
    acts on finished models, so an arm of an experiment may change it.
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
    """What is known of a setting besides its name, type and default.

    doc: a line for people. unit: of the value, empty for none. low, high: inclusive bounds. choices: the only values.
    phase: when it acts. tune: values that tuning tries. flat: the name under which it is recorded, tuned and changed by
    experiments, "<table>_<field>" by default. was: the variable of the environment, "MATCHBOOK_<FLAT>" by default.
    idle: conditions, any of them, under which the setting has no effect on the lists.
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
    """The name under which a setting is recorded, tuned and changed by experiments. table: "" for the environment."""
    return rule.flat or (f"{table}_{key}" if table else key)


def rules(table: type) -> dict[str, Rule]:
    """By field the rule of a table of settings, in the order of declaration."""
    return {f.name: f.metadata["rule"] for f in fields(table)}
