"""Finds settings without effect: by the mode, by a switch that is off, or by the serving ranker."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from models import registry
from models.setting import Idle
from models.settings.declared import DECLARED, Declared, in_toml
from models.settings.modes import MODES
from models.settings.settings import Settings

#: Settings, and the kinds of every ranker that serves under them; "off" for none.
Way = tuple[Settings, Collection[str]]
#: By table of a model: the switches that must all be on.
SWITCHES = {spec.table_name: spec.switch for spec in registry.MODELS if spec.switch and spec.config}


def condition(idle: Idle) -> str:
    """Return a condition as text."""
    parts = [f"the ranker is {_any_of(idle.rankers)}"] if idle.rankers else []
    for path, values in idle.where:
        parts.append(f"{_place(path)} is {_any_of(list(map(_shown, values)))}")
    return " and ".join(parts)


def conditions(d: Declared) -> str:
    """Return when a setting has no effect, as text; empty if it always has one."""
    decided = [(mode, values[d.flat]) for mode, values in MODES.items() if d.flat in values]
    told = [condition(idle) for idle in d.rule.idle]
    told += [f"[ranking] mode is {mode} (then {in_toml(value)})" for mode, value in decided]
    return f"no effect where {', or where '.join(told)}" if told else ""


def switched(table: str) -> str:
    """Return when a whole table of settings has no effect, as text; empty if it has no switch."""
    places = [_place(path) for path in SWITCHES.get(table, ())]
    return f"No effect where {_any_of(places)} is false." if places else ""


def reason(d: Declared, settings: Settings, rankers: Collection[str]) -> str:
    """Return why a setting has no effect; empty if it may have one.

    rankers: the kinds of every serving ranker.
    """
    if d.flat in settings.decided:
        return f"{settings.origin(d.flat)} makes it {in_toml(settings.value(d.flat))}"
    off = [path for path in SWITCHES.get(d.table, ()) if not settings.at(path)]
    if off:
        return f"{_place(off[0])} is false"
    held = [next((i for i in d.rule.idle if _holds(i, settings, ranker)), None) for ranker in sorted(rankers)]
    known = [i for i in held if i is not None]
    return " and ".join(dict.fromkeys(map(condition, known))) if len(known) == len(held) else ""


def idle_settings(ways: Sequence[Way]) -> dict[str, str]:
    """Return by flat name the settings that have no effect in any of these ways, and why."""
    found = {n: [reason(d, settings, rankers) for settings, rankers in ways] for n, d in DECLARED.items()}
    return {n: reasons[0] for n, reasons in found.items() if reasons and all(reasons)}


def idle_line(ways: Sequence[Way]) -> str:
    """Return the log line: the rankers, and the settings without effect, configured ones first."""
    rankers, found = sorted({r for _, those in ways for r in those}), idle_settings(ways)
    chosen = _chosen(found, ways[0][0])
    rest = [DECLARED[n].name for n in found if n not in chosen]
    told = [f"ranker: {', '.join(rankers)}"]
    if chosen:
        told.append(f"set, but without effect: {', '.join(chosen.values())}")
    if rest:
        told.append(f"{'also ' if chosen else ''}without effect: {', '.join(rest)}")
    return "; ".join(told)


def idle_choices(ways: Sequence[Way]) -> dict[str, str]:
    """Return by flat name the configured settings without effect: value and reason as text.

    A setting that agrees with the mode is left out.
    """
    return _chosen(idle_settings(ways), ways[0][0])


def _chosen(idle: Mapping[str, str], settings: Settings) -> dict[str, str]:
    usual = {n: settings.value(n) if n in settings.decided else d.default for n, d in DECLARED.items()}
    return {
        n: f"{DECLARED[n].name} = {in_toml(settings.given(n))} ({why})"
        for n, why in idle.items()
        if settings.given(n) not in (DECLARED[n].default, usual[n])
    }


def _holds(idle: Idle, settings: Settings, ranker: str) -> bool:
    serves = not idle.rankers or ranker in idle.rankers
    return serves and all(settings.at(path) in values for path, values in idle.where)


def _place(path: str) -> str:
    table, _, key = path.partition(".")
    return f"[{table}] {key}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else in_toml(value)


def _any_of(values: Sequence[str]) -> str:
    *first, last = values
    return f"{', '.join(first)} or {last}" if first else last
