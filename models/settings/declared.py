"""All declared settings: of the environment, of tables and of models.

Everything that reads or writes settings uses `DECLARED`: variables, matchbook.toml, manifests, docs.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from models.errors import SettingsError
from models.registry import tables as tables_of_models
from models.setting import Phase, Rule, flat_name
from models.settings.environment import ADDRESSES, Environment, boolean, check_address
from models.settings.tables import TABLES

PREFIX = "MATCHBOOK_"
#: The text for None in the file and in variables, because TOML has no null.
UNSET = "unset"


@dataclass(frozen=True)
class Declared:
    """One setting. table: of matchbook.toml, empty for the environment. optional: may be None."""

    table: str
    key: str
    kind: type
    optional: bool
    default: Any
    rule: Rule

    @cached_property
    def flat(self) -> str:
        """Return its name in records, tuning and experiments."""
        return flat_name(self.table, self.key, self.rule)

    @cached_property
    def variable(self) -> str:
        """Return its environment variable. Several settings may share one, with values separated by "/"."""
        return self.rule.was or PREFIX + self.flat.upper()

    @property
    def in_environment(self) -> bool:
        """Return whether its variable is documented, alone or besides the file."""
        return not self.table or not self.variable.startswith(PREFIX)

    @property
    def place(self) -> str:
        """Return where it is set."""
        return f"[{self.table}] {self.key}" if self.table else f"{self.variable} in the environment"

    @property
    def name(self) -> str:
        """Return its name for people: "als.factors", or its variable."""
        return f"{self.table}.{self.key}" if self.table else self.variable

    @property
    def recorded(self) -> bool:
        return self.rule.phase is not Phase.DEPLOY

    def of_text(self, text: str, name: str = "") -> Any:
        """Convert a variable's text. name: for the message. Raises SettingsError."""
        name = name or self.variable
        if self.optional and self._unset(text):
            return None
        try:
            text.encode()  # invalid text can be neither logged nor sent
            value = self._parsed(text)
        except (ValueError, OverflowError) as error:
            raise self._wrong(name, repr(text[:80])) from error
        if name in ADDRESSES:
            check_address(name, text)
        return self._within(value, name, repr(text[:80]))

    def of_value(self, value: Any, name: str) -> Any:
        """Convert a TOML or JSON value. name: for the message. Raises SettingsError."""
        if self.optional and value in (None, "", UNSET):
            return None
        fits = {bool: (bool,), int: (int,), float: (int, float), tuple: (list, tuple)}.get(self.kind, (str,))
        if not isinstance(value, fits) or isinstance(value, bool) != (self.kind is bool):
            raise self._wrong(name, repr(value)[:80])
        try:
            value = value if isinstance(value, self.kind) else self.kind(value)
            if self.kind is tuple:
                value = tuple(map(whole, value))
            if self.kind is float and not math.isfinite(value):
                raise ValueError(value)
        except (ValueError, OverflowError) as error:
            raise self._wrong(name, repr(value)[:80]) from error
        return self._within(value, name, repr(value)[:80])

    def of_record(self, value: Any) -> Any:
        """Convert a value recorded by a build, by tuning or by a caller; -1 and "" are None."""
        if self.optional and (value is None or value in (-1, "", UNSET)):
            return None
        if self.kind is tuple:
            return self._parsed(value) if isinstance(value, str) else tuple(value)
        if self.kind is bool and isinstance(value, str):
            return boolean(value)
        return value if isinstance(value, self.kind) or self.kind is Path else self.kind(value)

    def written(self, value: Any) -> Any:
        """Return the value as JSON in records."""
        return "/".join(map(str, value)) if self.kind is tuple else value

    def _parsed(self, text: str) -> Any:
        if self.kind is bool:
            return boolean(text)
        if self.kind is tuple:
            return tuple(int(part) for part in text.split("/"))
        value = self.kind(text)
        if self.kind is float and not math.isfinite(value):
            raise ValueError(text)
        return value

    def _unset(self, text: str) -> bool:
        return text == UNSET or (self.kind in (int, float) and text in ("-1", "-1.0"))

    def _wrong(self, name: str, shown: str) -> SettingsError:
        told = "whole numbers such as 32/16" if self.kind is tuple else self.kind.__name__
        return SettingsError(f"{name} must be {told}, got {shown}; default {self.default!r}")

    def _within(self, value: Any, name: str, shown: str) -> Any:
        choices, low, high = self.rule.choices, self.rule.low, self.rule.high
        if choices and value not in choices:
            raise SettingsError(f"{name} must be one of {', '.join(choices)}, got {shown}")
        for one in value if isinstance(value, tuple) else (value,):
            if (low is not None and not one >= low) or (high is not None and not one <= high):
                raise SettingsError(f"{name} must lie in {low}..{'' if high is None else high}, got {shown}")
        return value


def in_toml(value: Any) -> str:
    """Format a value as TOML."""
    if isinstance(value, tuple):
        return json.dumps(list(value))
    return json.dumps(UNSET if value is None else value, ensure_ascii=False)


def whole(value: Any) -> int:
    """Return a whole number as int. Raises ValueError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(value)
    return value


def _of(table: str, declared: type) -> Iterator[Declared]:
    hints = get_type_hints(declared)
    for f in fields(declared):
        kinds = [k for k in get_args(hints[f.name]) if k is not type(None)]
        optional = isinstance(hints[f.name], UnionType)
        kind = kinds[0] if optional else get_origin(hints[f.name]) or hints[f.name]
        yield Declared(table, f.name, kind, optional, f.default, f.metadata["rule"])


def _all_tables() -> dict[str, type]:
    """Return the dataclass of each table in the order of matchbook.toml, models after [train]."""
    before = list(TABLES)[: list(TABLES).index("train") + 1]
    first = {name: TABLES[name] for name in before}
    return first | tables_of_models() | {name: t for name, t in TABLES.items() if name not in first}


#: By table of matchbook.toml: the dataclass of its settings.
ALL_TABLES = _all_tables()
#: By flat name: every setting, those of the environment first.
DECLARED: dict[str, Declared] = {
    d.flat: d for name, table in {"": Environment, **ALL_TABLES}.items() for d in _of(name, table)
}


def variables() -> dict[str, list[Declared]]:
    """Return the settings of each environment variable."""
    found: dict[str, list[Declared]] = {}
    for d in DECLARED.values():
        found.setdefault(d.variable, []).append(d)
    return found


def declared(flat: str) -> Declared:
    """Return the setting of this flat name. Raises SettingsError with the nearest name."""
    if flat not in DECLARED:
        raise SettingsError(f"{flat} is no setting of Matchbook{nearest(flat)}")
    return DECLARED[flat]


def nearest(name: str) -> str:
    """Suggest the most similar setting: by flat name, table and key, or variable."""
    known = {text: d for d in DECLARED.values() for text in (d.flat, f"{d.table}_{d.key}", d.variable)}
    close = difflib.get_close_matches(name, known, 1) or difflib.get_close_matches(name.lower(), known, 1)
    hint = f"; the nearest is {known[close[0]].place}" if close else ""
    if close and name.startswith(PREFIX) and known[close[0]].table:
        hint += f" ({known[close[0]].variable})"
    return f"{hint}; `python -m pipelines settings` lists them all"
