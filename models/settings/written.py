"""Writes files from the declarations: the shipped matchbook.toml, and docs/reference/settings.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from models.setting import Phase
from models.settings.declared import ALL_TABLES, DECLARED, PREFIX, Declared, in_toml
from models.settings.idle import condition, conditions, switched
from models.settings.load import RETIRED
from models.settings.modes import MODES

COMMAND = "python -m pipelines settings --write"
_HEAD = f"""\
# Settings of Matchbook. A commented line shows the default: remove its "#" to change it.
# Environment variables override this file. `python -m pipelines settings` prints each value and its origin.
# Locations, secrets and ports are environment variables. docs/reference/settings.md describes all settings.
# `{COMMAND}` writes this file.
"""
_INTRODUCTION = f"""\
# Settings

<!-- written by `{COMMAND}` -->

A setting's value is the first of these: the value recorded with the build, the environment variable, `matchbook.toml`
(or the file in `MATCHBOOK_CONFIG`), the tuned value, the default. An unknown name is an error that suggests the nearest
one. `python -m pipelines settings` prints each value, its origin, and the settings that have no effect.

The variable of a key is `MATCHBOOK_<TABLE>_<KEY>`, unless its row names another. A variable of two keys takes both
values: `0.4/0.6`. Parentheses hold bounds and unit; numbers are at least 0. `"unset"` means no value.

Settings of all phases but `deploy` are recorded with a cutoff's snapshot. A second build of that cutoff uses the
recorded values unless `--fresh`, and reports the changes that it ignores.

"""
_CONSTANTS = """
## Constants

These former settings are constants. A build that recorded another value needs `--fresh`.

| variable | value | constant |
|---|---|---|
"""
_PHASES = {
    Phase.DEPLOY: "takes effect at once; not recorded",
    Phase.TRAIN: "base models; a change trains everything again",
    Phase.RANK: "after the base models; one value per release",
    Phase.SERVE: "on trained models; an arm of an experiment may change it",
}


def toml() -> str:
    """Return matchbook.toml with every default commented out, and a line about each."""
    return _HEAD + "".join(map(_commented_table, ALL_TABLES))


def of_table(table: str) -> list[Declared]:
    """Return the settings of a table, in order; the empty name means the environment."""
    return [d for d in DECLARED.values() if d.table == table]


def description_of(d: Declared) -> str:
    """Return one line about a setting: its meaning, unit and bounds."""
    return "; ".join(filter(None, [d.rule.doc, d.rule.unit and f"unit: {d.rule.unit}", bounds(d)]))


def bounds(d: Declared) -> str:
    """Return the valid values of a setting as text; empty if any is valid."""
    low, high = d.rule.low, d.rule.high
    if d.rule.choices:
        return ", ".join(d.rule.choices)
    if low is None:
        return ""
    return f"{low:.10g} or more" if high is None else f"{low:.10g} to {high:.10g}"


def page() -> str:
    """Return docs/reference/settings.md."""
    return "".join(_page())


def _commented_table(table: str) -> str:
    switch = f"# {switched(table)}\n" if switched(table) else ""
    return f"\n[{table}]\n{switch}{''.join(map(_commented, of_table(table)))}"


def _commented(d: Declared) -> str:
    idle = f"# {conditions(d)}\n" if conditions(d) else ""
    return f"# {description_of(d)}\n{idle}#{d.key} = {in_toml(d.default)}\n"


def _page() -> Iterator[str]:
    yield _INTRODUCTION
    yield from (f"- Phase `{phase}`: {words}.\n" for phase, words in _PHASES.items())
    yield "\n## The environment\n\n"
    yield from _table("", "")
    for table, kind in ALL_TABLES.items():
        yield f"\n## [{table}]\n\n"
        yield from _table(table, " ".join(filter(None, [_about(kind), switched(table)])))
        yield from _modes() if table == "ranking" else ()
    yield _CONSTANTS
    yield from (f"| `{r.variable}` | {r.value:g} | `{r.constant}` |\n" for r in RETIRED)


def _about(table: type) -> str:
    """Return the docstring of a table, without its name and errors."""
    text = " ".join((table.__doc__ or "").split("Raises")[0].split())
    return re.sub(r"^\[\w+\]: (\w)", lambda found: found[1].upper(), text)


def _modes() -> Iterator[str]:
    for mode, values in MODES.items():
        yield f"\nMode `{mode}` decides these settings:\n\n" if values else ""
        for table, same in groupby((DECLARED[flat] for flat in values), lambda d: d.table):
            yield f"- [{table}] {', '.join(f'`{d.key}` {in_toml(values[d.flat])}' for d in same)}\n"
    yield "\nOther conditions name the ranker that serves; it can differ by surface, and `off` means none.\n"


def _table(table: str, about: str) -> Iterator[str]:
    """Yield a table's text, its phases, a row for each variable, and the conditions without effect."""
    declared = of_table(table)
    yield " ".join(filter(None, [about, _phases(declared)])) + "\n\n"
    yield "| setting | default | meaning |\n|---|---|---|\n"
    for _, same in groupby(declared, lambda d: d.variable):
        yield _row(list(same))
    idle = dict.fromkeys(condition(i) for d in declared for i in d.rule.idle)
    lines = [f"- No effect where {words}: {_keys(d for d in declared if words in _idle(d))}.\n" for words in idle]
    yield "\n" + "".join(lines) if lines else ""


def _idle(d: Declared) -> list[str]:
    return [condition(i) for i in d.rule.idle]


def _phases(declared: Sequence[Declared]) -> str:
    """Return the phase of most settings, and the settings of every other phase."""
    usual, *rest = [phase for phase, _ in Counter(d.rule.phase for d in declared).most_common()]
    others = [f"; {phase}: {_keys(d for d in declared if d.rule.phase is phase)}" for phase in rest]
    return f"Phase: {usual}{''.join(others)}."


def _keys(declared: Iterable[Declared]) -> str:
    return ", ".join(f"`{d.key if d.table else d.variable}`" for d in declared)


def _row(same: list[Declared]) -> str:
    """Return the row of one variable: one setting, or two for limits of the gate."""
    first = same[0]
    usual = first.table and first.variable == f"{PREFIX}{first.table}_{first.key}".upper()
    name = _keys(same) + ("" if usual or not first.table else f" `{first.variable}`")
    limits = " ".join(filter(None, [_range(first), first.rule.unit]))
    default = " ".join(filter(None, [" / ".join(map(_shown, same)), limits and f"({limits})"]))
    return f"| {name} | {default} | {first.rule.doc} |\n"


def _range(d: Declared) -> str:
    """Return the valid values, short: "a, b", "1..500", ">=2".

    Empty if any is valid, or any number from 0 on.
    """
    low, high = d.rule.low, d.rule.high
    if d.rule.choices:
        return ", ".join(d.rule.choices)
    return f"{low:.10g}..{high:.10g}" if high is not None else f">={low:.10g}" if low else ""


def _shown(d: Declared) -> str:
    if d.table:
        return f"`{in_toml(d.default)}`"
    text = str.__str__(d.default) if isinstance(d.default, str) else str(d.default)
    return f"`{text}`" if text else ""
