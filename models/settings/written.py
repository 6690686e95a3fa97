"""The files written from the declarations: matchbook.toml as it is shipped, and docs/reference/settings.md."""

from __future__ import annotations

import re
from collections.abc import Iterator

from models.setting import Phase
from models.settings.declared import ALL_TABLES, DECLARED, Declared, in_toml
from models.settings.idle import conditions, switched
from models.settings.load import RETIRED

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
(or the file in `MATCHBOOK_CONFIG`), the tuned value, the default. An unknown table, key or variable is an error that
suggests the nearest name. `python -m pipelines settings` prints each value and its origin, with `--release R` those of
a release.

Settings of all phases but `deploy` are recorded with a cutoff's snapshot. A second build of that cutoff uses the
recorded values unless `--fresh`. The log and the report name the changes that this ignores. `"unset"` means no value. A
variable of two keys takes both values: `0.4/0.6`.

Some settings have no effect under some rankers or switches. Their rows say where. `off` stands for no ranker. The
ranker that serves can differ by surface. A build and the reader log one line with the settings that have no effect, and
`python -m pipelines settings` prints it. Under `[ranker] kind = "auto"` a setting of one ranker can still decide which
ranker serves.

| phase | takes effect |
|---|---|
"""
_CONSTANTS = """
## Constants

These former settings are constants. A build that recorded another value needs `--fresh`.

| variable | value | constant |
|---|---|---|
"""
_PHASES = {
    Phase.DEPLOY: "at once; not recorded",
    Phase.TRAIN: "in base models; a change trains everything again",
    Phase.RANK: "after the base models are trained; one value per release",
    Phase.SERVE: "on trained models; an arm of an experiment may change it",
}


def toml() -> str:
    """matchbook.toml with every default commented out, and a line about each."""
    return _HEAD + "".join(map(_commented_table, ALL_TABLES))


def of_table(table: str) -> list[Declared]:
    """The settings of a table, in order; the empty name means the environment."""
    return [d for d in DECLARED.values() if d.table == table]


def description_of(d: Declared) -> str:
    """One line about a setting: its meaning, unit and bounds."""
    return "; ".join(filter(None, [d.rule.doc, d.rule.unit and f"unit: {d.rule.unit}", bounds(d)]))


def bounds(d: Declared) -> str:
    """The valid values of a setting in words; empty if any is valid."""
    low, high = d.rule.low, d.rule.high
    if d.rule.choices:
        return ", ".join(d.rule.choices)
    if low is None:
        return ""
    return f"{low:.10g} or more" if high is None else f"{low:.10g} to {high:.10g}"


def page() -> str:
    """docs/reference/settings.md."""
    return "".join(_page())


def _commented_table(table: str) -> str:
    switch = f"# {switched(table)}\n" if switched(table) else ""
    return f"\n[{table}]\n{switch}{''.join(map(_commented, of_table(table)))}"


def _commented(d: Declared) -> str:
    idle = f"# {conditions(d)}\n" if conditions(d) else ""
    return f"# {description_of(d)}\n{idle}#{d.key} = {in_toml(d.default)}\n"


def _page() -> Iterator[str]:
    yield _INTRODUCTION
    yield from (f"| {phase} | {words} |\n" for phase, words in _PHASES.items())
    yield "\n## The environment\n\n"
    yield from _table("", "")
    for table, kind in ALL_TABLES.items():
        yield f"\n## [{table}]\n\n"
        yield from _table(table, " ".join(filter(None, [_about(kind), switched(table)])))
    yield _CONSTANTS
    yield from (f"| `{r.variable}` | {r.value:g} | `{r.constant}` |\n" for r in RETIRED)


def _about(table: type) -> str:
    """The docstring of a table, without its name and what it raises."""
    text = " ".join((table.__doc__ or "").split("Raises")[0].split())
    return re.sub(r"^\[\w+\]: (\w)", lambda found: found[1].upper(), text)


def _table(table: str, about: str) -> Iterator[str]:
    """What the table is about, and a line for each setting. A phase that all settings share is named once."""
    declared = of_table(table)
    shared = {d.rule.phase for d in declared}
    phase = f"Phase: {min(shared)}." if len(shared) == 1 else ""
    yield " ".join(filter(None, [about, phase])) + "\n\n" if about or phase else ""
    columns = ["setting", "default", "values", *([] if phase else ["phase"]), "meaning"]
    yield f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    for d in declared:
        name = f"`{d.key}` `{d.variable}`" if d.table else f"`{d.variable}`"
        does = "; ".join(filter(None, [d.rule.doc, conditions(d)]))
        cells = [name, _shown(d), f"{bounds(d)} {d.rule.unit}".strip(), *([] if phase else [d.rule.phase]), does]
        yield f"| {' | '.join(cells)} |\n"


def _shown(d: Declared) -> str:
    if d.table:
        return f"`{in_toml(d.default)}`"
    text = str.__str__(d.default) if isinstance(d.default, str) else str(d.default)
    return f"`{text}`" if text else ""
