"""Experiments: the arm of each owner, and what an arm may change (O01-O03, O12, M08, R15).

A hash of the owner's id and the experiment's salt decides participation and arm. Raising the share keeps all
participants in their arms. On each surface an owner takes part in the first experiment that draws it. Nothing is
stored: reader and batch compute the same arm.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.errors import SettingsError
from models.schema import Surface
from models.setting import Phase
from models.settings.declared import DECLARED, Declared
from models.settings.modes import MODES, SETTINGS
from models.settings.settings import Settings

#: What an arm may change: settings that take effect on trained models.
CHANGEABLE = tuple(n for n, d in DECLARED.items() if d.rule.phase is Phase.SERVE)
ARMS_MOST = 16
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_ALL = (1 << 64) - 1
_WEIGHTS = ("ensemble_als_weight", "ensemble_two_tower_weight")
_VARIABLE = "MATCHBOOK_EXPERIMENTS"


@dataclass(frozen=True)
class Arm:
    """One variant of an experiment. weight: its share of the owners, relative to other arms.

    settings: by flat name, values of CHANGEABLE that replace the release's.
    """

    name: str
    weight: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, settings: Settings) -> Settings:
        """Return the settings of this arm's lists.

        If the arm sets one weight of the blend, the other becomes the rest. The blend is then "weighted" (O01), unless
        the arm sets it.
        """
        given = dict(self.settings)
        named = [w for w in _WEIGHTS if w in given]
        if named:
            given = {"blend": "weighted", "blend_profile": ""} | given
        if len(named) == 1:
            other = _WEIGHTS[1 - _WEIGHTS.index(named[0])]
            given[other] = round(1 - float(given[named[0]]), 9)
        return settings.layered(given, f"arm {self.name}")


@dataclass(frozen=True)
class Experiment:
    """A comparison of arms. share: of the owners of `surfaces`, 0..1, who take part.

    Other owners have no arm.
    """

    name: str
    salt: str
    surfaces: tuple[Surface, ...]
    share: float
    arms: tuple[Arm, ...]

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Experiment:
        """Read a validated JSON object; see `read_experiments`."""
        arms = tuple(Arm(a["name"], float(a["weight"]), dict(a.get("settings", {}))) for a in given["arms"])
        return cls(given["name"], given["salt"], tuple(map(Surface, given["surfaces"])), float(given["share"]), arms)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "salt": self.salt,
            "surfaces": [s.value for s in self.surfaces],
            "share": self.share,
            "arms": [{"name": a.name, "weight": a.weight, "settings": dict(a.settings)} for a in self.arms],
        }

    @cached_property
    def edition(self) -> str:
        """Return four hex digits over all fields except the share. Each edition is measured separately."""
        content = {k: v for k, v in self.as_json().items() if k != "share"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:4]

    @cached_property
    def bounds(self) -> list[float]:
        """Return the ascending boundaries between the arms, in 0..1."""
        weights = np.array([a.weight for a in self.arms])
        ends: list[float] = (np.cumsum(weights)[:-1] / weights.sum()).tolist()
        return ends

    @cached_property
    def _keys(self) -> tuple[int, ...]:
        """Hash salt and name into four numbers: two for participation, two for the arm."""
        digest = hashlib.blake2b(f"{self.salt}\0{self.name}".encode(), digest_size=32).digest()
        return tuple(int.from_bytes(digest[i : i + 8], "big") for i in range(0, 32, 8))

    def places(self, packed: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Return (n,) index in `arms`, -1 without participation.

        packed: (n, 16) uint8 id bytes.
        """
        high, low = np.ascontiguousarray(packed).view(">u8").astype(np.uint64).reshape(-1, 2).T
        drawn = _draw(high, low, *self._keys[:2]) < self.share
        arm = np.searchsorted(self.bounds, _draw(high, low, *self._keys[2:]), side="right")
        return np.where(drawn, arm, -1).astype(np.int16)

    def arm_of(self, owner: str) -> Arm | None:
        """Return the arm of one id, like `places`, or None."""
        number = UUID(owner).int
        high, low = number >> 64, number & _ALL
        if not _draw(high, low, *self._keys[:2]) < self.share:
            return None
        return self.arms[bisect_right(self.bounds, _draw(high, low, *self._keys[2:]))]


def experiments_of(told: Sequence[Mapping[str, Any]]) -> tuple[Experiment, ...]:
    """Return the experiments in a release's manifest."""
    return tuple(map(Experiment.from_json, told))


def arms_on(experiments: Sequence[Experiment], surface: Surface) -> list[tuple[Experiment, Arm]]:
    """Return all arms of a surface in order. `places_on` gives indices into this list."""
    return [(e, arm) for e in experiments if surface in e.surfaces for arm in e.arms]


def places_on(experiments: Sequence[Experiment], surface: Surface, packed: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return (n,) index in `arms_on`, -1 outside all experiments.

    packed: (n, 16) uint8 id bytes of owners.
    """
    found, first = np.full(len(packed), -1, np.int16), 0
    for e in (e for e in experiments if surface in e.surfaces):
        mine = e.places(packed)
        found = np.where((found < 0) & (mine >= 0), mine + first, found).astype(np.int16)
        first += len(e.arms)
    return found


def arm_on(experiments: Sequence[Experiment], surface: Surface, owner: str) -> tuple[Experiment, Arm] | None:
    """Return an owner's experiment and arm on a surface; None outside all experiments."""
    for e in experiments:
        arm = e.arm_of(owner) if surface in e.surfaces else None
        if arm is not None:
            return e, arm
    return None


def with_arms(settings: Settings) -> list[Settings]:
    """Return the settings, then those of every arm. Raises SettingsError."""
    return [settings, *(arm.apply(settings) for e in read_experiments(settings) for arm in e.arms)]


def read_experiments(settings: Settings) -> tuple[Experiment, ...]:
    """Read and validate the experiments. Raises SettingsError with the field and its rule."""
    if not settings.experiments:
        return ()
    given = json.loads(settings.experiments)
    found = tuple(_experiment(f"[{i}]", one, settings) for i, one in enumerate(given))
    for i, e in enumerate(found):
        before = found[:i]
        _expect(e.name not in {b.name for b in before}, f"[{i}].name", "a name of its own", e.name)
        taken = [b.name for b in before if b.share == 1 and set(b.surfaces) & set(e.surfaces)]
        _expect(
            not taken,
            f"[{i}].surfaces",
            "surfaces with owners who can still take part",
            [*e.surfaces],
            f"every owner of these surfaces takes part in {', '.join(taken)}; lower its share, or combine their arms",
        )
    return found


def _experiment(at: str, given: Any, settings: Settings) -> Experiment:
    _object(at, given, {f.name for f in fields(Experiment)})
    _name(f"{at}.name", given["name"])
    _expect(
        isinstance(given["salt"], str) and given["salt"] != "", f"{at}.salt", "a word of your choice", given["salt"]
    )
    known = {s.value for s in Surface}
    surfaces = given["surfaces"]
    _expect(
        isinstance(surfaces, list)
        and bool(surfaces)
        and all(isinstance(s, str) for s in surfaces)
        and set(surfaces) <= known,
        f"{at}.surfaces",
        f"some of {', '.join(sorted(known))}",
        surfaces,
    )
    _expect(_is_number(given["share"]) and 0 <= given["share"] <= 1, f"{at}.share", "a number in 0..1", given["share"])
    arms = given["arms"]
    _expect(
        isinstance(arms, list) and 2 <= len(arms) <= ARMS_MOST,
        f"{at}.arms",
        f"2 to {ARMS_MOST} arms",
        arms,
        "the first is the control; an arm without settings is the release as it is",
    )
    for j, arm in enumerate(arms):
        _check_arm(f"{at}.arms[{j}]", arm, settings)
        _expect(
            arm["name"] not in {a["name"] for a in arms[:j]}, f"{at}.arms[{j}].name", "a name of its own", arm["name"]
        )
    _expect(sum(a["weight"] for a in arms) > 0, f"{at}.arms", "weights above 0", [a["weight"] for a in arms])
    return Experiment.from_json(given | {"arms": [a | {"settings": _settings(at, a, settings)} for a in arms]})


def _check_arm(at: str, given: Any, settings: Settings) -> None:
    _object(at, given, {"name", "weight"}, {"settings"})
    _name(f"{at}.name", given["name"])
    _expect(_is_number(given["weight"]) and given["weight"] >= 0, f"{at}.weight", "a number from 0 on", given["weight"])
    _settings(at, given, settings)


def _settings(at: str, given: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Validate an arm's settings by flat name, like those of the file."""
    named = {name: d for d in DECLARED.values() for name in (d.variable, d.name, d.flat)}
    changes = given.get("settings", {})
    _expect(isinstance(changes, dict), f"{at}.settings", "an object of settings", changes)
    found: dict[str, Any] = {}
    for name, value in changes.items():
        where = f"{at}.settings.{name}"
        _expect(name in named, where, "a setting of Matchbook", name, "docs/reference/settings.md lists them all")
        found[named[name].flat] = _changed(where, named[name], value, settings)
    mode = found.get("ranking_mode", settings.ranking.mode)
    decided = sorted(set(found) & set(MODES[mode]))
    _expect(
        not decided,
        f"{at}.settings",
        f"settings that [ranking] mode = {mode} leaves open",
        decided,
        f"the mode decides these; leave them out, or add ranking.mode = {SETTINGS} to the arm",
    )
    return found


def _changed(where: str, d: Declared, value: Any, settings: Settings) -> Any:
    _expect(
        d.flat in CHANGEABLE,
        where,
        "a setting that takes effect after training",
        d.flat,
        "all owners of a release share one set of models; an arm may change " + ", ".join(sorted(CHANGEABLE)),
    )
    if d.flat.startswith("enable_") and value:
        _expect(
            settings.value(d.flat),
            where,
            f"{d.variable}=true for the whole release",
            value,
            "a model that is switched off is not trained, so an arm cannot switch it on",
        )
    found = d.of_value(value, f"{_VARIABLE} {where}")
    return value if found is None else d.written(found)  # as given, so that the edition stays


def _object(at: str, given: Any, needed: AbstractSet[str], optional: AbstractSet[str] = frozenset()) -> None:
    _expect(isinstance(given, dict), at, f"an object with {', '.join(sorted(needed))}", given)
    _expect(needed <= set(given), at, f"all of {', '.join(sorted(needed))}", sorted(given))
    extra = sorted(set(given) - needed - optional)
    _expect(not extra, at, f"only {', '.join(sorted(needed | optional))}", extra)


def _name(at: str, given: Any) -> None:
    _expect(
        isinstance(given, str) and NAME.fullmatch(given) is not None,
        at,
        "1 to 40 of a-z, 0-9, dot, dash and underscore, beginning with a letter or a digit",
        given,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _expect(
    holds: bool, at: str, expected: str, got: Any, hint: str = "docs/guides/experiments.md shows a file"
) -> None:
    if not holds:
        raise SettingsError(f"{_VARIABLE} {at}: expected {expected}, got {json.dumps(got)[:200]}; {hint}")


def _draw(high: Any, low: Any, first: int, second: int) -> Any:
    """Return 0 <= x < 1 from the bits of an id.

    Python integers and (n,) uint64 give equal results.
    """
    mixed = _mixed((_mixed(high ^ first) + low) & _ALL ^ second)
    return (mixed >> 11) * 2.0**-53


def _mixed(x: Any) -> Any:
    """Mix bits with the finaliser of splitmix64 (Steele, Lea, Flood 2014).

    Every bit of x affects every bit of the result.
    """
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _ALL
    return x ^ (x >> 31)
