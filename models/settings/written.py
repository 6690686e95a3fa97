"""What is written from the declarations: matchbook.toml as it is shipped, and docs/settings.md."""

from __future__ import annotations

from collections.abc import Iterator

from models.setting import Phase
from models.settings.declared import ALL_TABLES, DECLARED, Declared, in_toml
from models.settings.idle import conditions, switched
from models.settings.retired import RETIRED

COMMAND = "python -m pipelines settings --write"
_HEAD = f"""\
# Settings of Matchbook. A line that is commented out shows the default: remove its "#" to change it.
# A variable of the environment goes before this file. `python -m pipelines settings` prints what holds, and why.
# Where things are, secrets and ports stand in the environment. docs/settings.md describes all of them.
# This file is made by `{COMMAND}`.
"""
_INTRODUCTION = f"""\
# Settings

<!-- made by `{COMMAND}` -->

What was recorded with a build, the environment, `matchbook.toml`, what tuning found, the default: the first of them
that says something holds. The file is the one that `MATCHBOOK_CONFIG` names, else `matchbook.toml` beside the code. An
unknown table, key or variable is an error that names the nearest one. `python -m pipelines settings` prints every
setting with its value and where that came from, with `--release R` those of a release.

What shapes lists is recorded with a cutoff's snapshot and used again when that cutoff is built again, unless `--fresh`.
The log and the report say where it wins over a changed one. `"unset"` leaves a setting open where its line says so.
Every variable below is read. One that the file replaces is told of once. A variable of two keys has both values:
`0.4/0.6`.

Some settings have no effect in some deployments. Their rows say where. Which ranker serves is known after a build, and
can differ by surface. A build and the reader log one line with the settings that have no effect. So does
`python -m pipelines settings`. Under `[ranker] kind = "auto"` a setting of one ranker may decide which one serves.

| phase | |
|---|---|
"""
_CONSTANTS = """
## Constants

Settings once, constants now: nobody turned them. A build that recorded another value is made anew with `--fresh`.

| was | value | where |
|---|---|---|
"""
_PHASES = {
    Phase.DEPLOY: "not recorded; acts at once",
    Phase.TRAIN: "read by base models; recorded; a change fits everything anew",
    Phase.RANK: "one value a release, read after the base models are fitted; recorded",
    Phase.SERVE: "acts on finished models; recorded; an arm of an experiment may change it",
}


def toml() -> str:
    """matchbook.toml with every default commented out, and a line about each."""
    return _HEAD + "".join(_table(table) for table in ALL_TABLES)


def of_table(table: str) -> list[Declared]:
    """The settings of a table, in order; the empty name: of the environment."""
    return [d for d in DECLARED.values() if d.table == table]


def told(d: Declared) -> str:
    """What a setting does, with its unit and bounds, in a line."""
    return "; ".join(filter(None, [d.rule.doc, d.rule.unit and f"unit: {d.rule.unit}", bounds(d)]))


def bounds(d: Declared) -> str:
    """Which values a setting takes, in words; empty where any will do."""
    low, high = d.rule.low, d.rule.high
    if d.rule.choices:
        return ", ".join(d.rule.choices)
    if low is None:
        return ""
    return f"{low:.10g} or more" if high is None else f"{low:.10g} to {high:.10g}"


def page() -> str:
    """docs/settings.md."""
    return "".join(_page())


def _table(table: str) -> str:
    switch = f"# {switched(table)}\n" if switched(table) else ""
    return f"\n[{table}]\n{switch}{''.join(map(_commented, of_table(table)))}"


def _commented(d: Declared) -> str:
    idle = f"# {conditions(d)}\n" if conditions(d) else ""
    return f"# {told(d)}\n{idle}#{d.key} = {in_toml(d.default)}\n"


def _page() -> Iterator[str]:
    yield _INTRODUCTION
    yield from (f"| {phase} | {words} |\n" for phase, words in _PHASES.items())
    yield "\n## The environment\n\n"
    yield "| variable | default | unit | values | phase | what it does |\n|---|---|---|---|---|---|\n"
    for d in of_table(""):
        yield f"| `{d.variable}` | {_shown(d)} | {d.rule.unit} | {bounds(d)} | {d.rule.phase} | {d.rule.doc} |\n"
    for table, kind in ALL_TABLES.items():
        about = " ".join((kind.__doc__ or "").split("Raises")[0].split())
        yield f"\n## [{table}]\n\n{' '.join(filter(None, [about, switched(table)]))}\n\n"
        yield "| key | default | unit | values | phase | what it does | variable |\n|---|---|---|---|---|---|---|\n"
        yield from map(_row, of_table(table))
    yield _CONSTANTS
    yield from (f"| `{r.variable}` | {r.value:g} | `{r.constant}` |\n" for r in RETIRED)


def _row(d: Declared) -> str:
    does = "; ".join(filter(None, [d.rule.doc, conditions(d)]))
    shown = [f"`{d.key}`", _shown(d), d.rule.unit, bounds(d), str(d.rule.phase), does, f"`{d.variable}`"]
    return f"| {' | '.join(shown)} |\n"


def _shown(d: Declared) -> str:
    if d.table:
        return f"`{in_toml(d.default)}`"
    text = str.__str__(d.default) if isinstance(d.default, str) else str(d.default)
    return f"`{text}`" if text else ""
