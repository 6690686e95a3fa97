"""Reads settings from matchbook.toml and from the environment, which takes precedence.

Nothing else reads them.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import FileError, SettingsError, regular
from models.settings.declared import ALL_TABLES, DECLARED, PREFIX, Declared, nearest, variables


@dataclass(frozen=True)
class Retired:
    """A former setting. constant: its value is now in this constant."""

    flat: str
    value: float
    constant: str

    @property
    def variable(self) -> str:
        return f"MATCHBOOK_{self.flat.upper()}"

    def meant(self, given: Any) -> bool:
        try:
            return float(given) == self.value
        except (TypeError, ValueError):
            return False


RETIRED = (
    Retired("rrf_k", 60, "RRF_K of models/ensemble/scorer.py"),
    Retired("content_min_profiles", 2, "MIN_PROFILES of models/data/profile_text.py"),
    Retired("neighbours_history", 500, "HISTORY of models/item_neighbours/fit.py"),
    Retired("graph_filter_neighbours", 500, "NEIGHBOURS of models/graph_filter/fit.py"),
    Retired("gate_chance", 0.02, "CHANCE of pipelines/gate/checks.py"),
    Retired("count_ttl_s", 300, "COUNT_TTL_S of serving/live/recommender.py"),
    Retired("unknown_ttl_s", 30, "UNKNOWN_TTL_S of serving/live/recommender.py"),
)


def changed_constants(recorded: Mapping[str, Any]) -> list[str]:
    """Return a line for each recorded setting that differs from its present constant."""
    return [
        f"{r.flat}={recorded[r.flat]}, which is a constant now, {r.value:g} ({r.constant})"
        for r in RETIRED
        if r.flat in recorded and not r.meant(recorded[r.flat])
    ]


def check_record(recorded: Mapping[str, Any], what: str) -> None:
    """Raise SettingsError if a build recorded another value of a constant. what: names the build."""
    if changed := changed_constants(recorded):
        raise SettingsError(
            f"{what} was made with {'; '.join(changed)}; build with --fresh, which reads the current settings"
        )


_LOG = logging.getLogger(__name__)
FILE = "matchbook.toml"
#: The file beside the code, in a checkout and in the containers.
USUAL = Path(__file__).resolve().parents[2] / FILE
_CONFIG = "MATCHBOOK_CONFIG"
_INJECTED = re.compile(
    r"MATCHBOOK(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|"
    r"PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_told: set[str] = set()

#: By flat name: a value and its origin.
Found = dict[str, tuple[Any, str]]


def found(environ: Mapping[str, str] | None = None) -> Found:
    """Read the file and the environment. Raises SettingsError with the place, the value and the rule."""
    given = without_injected(os.environ if environ is None else environ)
    return _of_file(given.get(_CONFIG, "")) | _of_environment(given)


def _of_file(named: str) -> Found:
    path = place(_CONFIG, named) if named else USUAL
    if not named and not path.is_file():
        return {}
    try:
        tables = tomllib.loads(regular(path).read_text())
    except (FileError, OSError, ValueError) as error:
        raise SettingsError(
            f"{_CONFIG} must name a TOML file, {str(path)[:200]!r} is none: {str(error)[:300]}"
        ) from error
    where = FILE if path == USUAL else str(path)
    return {d.flat: (d.of_value(value, f"{where} {d.place}"), where) for d, value in _keys(tables, where)}


def _keys(tables: Mapping[str, Any], where: str) -> Iterator[tuple[Declared, Any]]:
    """Yield every key of a file with its declaration. Raises SettingsError for an unknown one."""
    known = {(d.table, d.key): d for d in DECLARED.values()}
    for table, keys in tables.items():
        if not isinstance(keys, dict):
            raise SettingsError(f"{where}: {table} is outside any table{nearest(table)}")
        if table not in ALL_TABLES:
            close = difflib.get_close_matches(table, ALL_TABLES, 1)
            told = f"; the nearest is [{close[0]}]" if close else f"; there are {', '.join(ALL_TABLES)}"
            raise SettingsError(f"{where}: [{table}] is no table of Matchbook{told}")
        for key, value in keys.items():
            if (table, key) not in known:
                close = difflib.get_close_matches(key, [k for t, k in known if t == table], 1)
                told = f"; the nearest is [{table}] {close[0]}" if close else nearest(f"{table}_{key}")
                raise SettingsError(f"{where}: [{table}] {key} is no setting of Matchbook{told}")
            yield known[table, key], value


def _of_environment(given: Mapping[str, str]) -> Found:
    known, retired = variables(), {r.variable: r for r in RETIRED}
    values: Found = {}
    for name, text in given.items():
        if name in known and text != "":
            values |= {d.flat: (value, name) for d, value in _of_variable(name, known[name], text)}
            _tell(name, known[name])
        elif name in retired and text != "":
            told = f"{name} is no longer a setting but a constant, {retired[name].value:g}: {retired[name].constant}"
            if not retired[name].meant(text):
                raise SettingsError(f"{told}; got {text[:80]!r}, remove the variable")
            _once(name, f"{told}; remove the variable")
        elif name.startswith(PREFIX) and name not in known and name not in retired:
            raise SettingsError(f"{name} is no setting of Matchbook{nearest(name)}")
    if "experiments" in values:
        path, origin = values["experiments"]
        values["experiments"] = (_content(place("MATCHBOOK_EXPERIMENTS", path)), origin)
    for flat, variable in (("home", "MATCHBOOK_HOME"), ("config", _CONFIG)):
        if flat in values:  # also for processes that start in another directory
            values[flat] = (DECLARED[flat].kind(place(variable, values[flat][0])), variable)
    return values


def _of_variable(name: str, sets: list[Declared], text: str) -> Iterator[tuple[Declared, Any]]:
    parts = text.split("/") if len(sets) > 1 else [text]
    if len(parts) != len(sets):
        raise SettingsError(f"{name} must be {'/'.join(d.key for d in sets)}, got {text[:80]!r}")
    for d, part in zip(sets, parts, strict=True):
        yield d, d.of_text(part)


def _tell(name: str, sets: list[Declared]) -> None:
    if not sets[0].in_environment:
        _once(name, f"{name} is used, but its place is now {FILE}: {', '.join(d.place for d in sets)}")


def _once(name: str, message: str) -> None:
    if name not in _told:
        _told.add(name)
        _LOG.warning(message)


def without_injected(environ: Mapping[str, str]) -> dict[str, str]:
    """Drop the variables that Kubernetes or Docker set for a service called matchbook or matchbook-…."""
    return {
        name: value
        for name, value in environ.items()
        if not _INJECTED.fullmatch(name) and not (name.endswith("_PORT") and _ADDRESS.match(value))
    }


def place(name: str, given: str | Path) -> Path:
    """Return an absolute path. name: the variable that a SettingsError names."""
    try:
        return Path(given).expanduser().absolute()
    except (RuntimeError, ValueError) as error:
        raise SettingsError(f"{name} must be a path, got {str(given)[:200]!r}: {error}") from error


def _content(path: Path) -> str:
    """Return a JSON file of experiments in canonical form; models/experiments.py validates it."""
    try:
        found: list[Any] = json.loads(regular(path).read_bytes())
        if not isinstance(found, list):
            raise ValueError(f"expected a list, got {type(found).__name__}")
    except (FileError, OSError, ValueError) as error:
        raise SettingsError(
            f"MATCHBOOK_EXPERIMENTS must name a JSON list as docs/guides/experiments.md has it, {str(path)[:200]!r} "
            f"is none: {str(error)[:300]}"
        ) from error
    return json.dumps(found, sort_keys=True) if found else ""
