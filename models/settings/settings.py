"""Settings: one frozen value, read from matchbook.toml and the environment (G01-G11)."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from models.setting import Phase
from models.settings.declared import ALL_TABLES, DECLARED, UNSET, Declared, declared
from models.settings.environment import Environment
from models.settings.lists_export import ListsExport
from models.settings.load import found, place
from models.settings.modes import MODES, SETTINGS
from models.settings.tables import (
    TABLES,
    Airflow,
    Engagement,
    Events,
    Export,
    Gate,
    Holdout,
    Lists,
    Objective,
    Ranking,
    Reader,
    Refresh,
    Releases,
    Retrain,
    Routing,
    Score,
    Train,
)
from models.similar import SimilarConfig

DEFAULT = "default"
_FORMS = ("protocol", "decode_responses", "encoding", "encoding_errors", "legacy_responses")
#: By table of a model: its index in `Settings.models`.
_MODELS = {name: i for i, name in enumerate(n for n in ALL_TABLES if n not in TABLES)}
#: By dataclass: the table's name; the first if external models share one.
_NAMES = {kind: name for name, kind in reversed(ALL_TABLES.items())}
_Table = TypeVar("_Table")


@dataclass(frozen=True)
class Settings(Environment):
    """Every effective setting: those of the environment, the tables, and by `of` those of models.

    Values that [ranking] mode sets replace the given ones. `from_env` and `layered` ensure this; use them to make
    others.
    replaced: flat names and values of settings that the mode replaced, sorted by name.
    origins: by flat name, the origin of each value that is not the default.
    """

    ranking: Ranking = Ranking()
    routing: Routing = Routing()
    lists: Lists = Lists()
    similar: SimilarConfig = SimilarConfig()
    export: Export = Export()
    train: Train = Train()
    holdout: Holdout = Holdout()
    objective: Objective = Objective()
    score: Score = Score()
    gate: Gate = Gate()
    releases: Releases = Releases()
    retrain: Retrain = Retrain()
    refresh: Refresh = Refresh()
    reader: Reader = Reader()
    events: Events = Events()
    engagement: Engagement = Engagement()
    lists_export: ListsExport = ListsExport()
    airflow: Airflow = Airflow()
    models: tuple[Any, ...] = tuple(ALL_TABLES[name]() for name in _MODELS)
    replaced: tuple[tuple[str, Any], ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read and check file and environment. Raises SettingsError with the place, the value and the rule."""
        values = found(environ)
        settings = cls()._with({k: v for k, (v, _) in values.items()}, {k: origin for k, (_, origin) in values.items()})
        return settings if "home" in values else replace(settings, home=place("MATCHBOOK_HOME", settings.home))

    def of(self, table: type[_Table]) -> _Table:
        """Return a typed table by its dataclass. Raises KeyError if it is not declared."""
        found: _Table = self.table(_NAMES[table])
        return found

    def table(self, name: str) -> Any:
        """Return a table by its name in matchbook.toml; the empty name means the environment.

        Use it to walk over all tables; `of` is typed.
        """
        if name in TABLES:
            return getattr(self, name)
        return self.models[_MODELS[name]] if name else self

    def at(self, path: str) -> Any:
        """Return the value of "table.key"."""
        table, _, key = path.partition(".")
        return getattr(self.table(table), key)

    def value(self, flat: str) -> Any:
        """Return the value of a flat name. Raises SettingsError."""
        d = declared(flat)
        return getattr(self.table(d.table), d.key)

    def origin(self, flat: str) -> str:
        """Return the origin of a flat name's value."""
        return f"[ranking] mode = {self.ranking.mode}" if flat in self.decided else self.origins.get(flat, DEFAULT)

    @property
    def decided(self) -> Mapping[str, Any]:
        """Return by flat name the values that [ranking] mode sets."""
        return MODES[self.ranking.mode]

    def given(self, flat: str) -> Any:
        """Return the value of a flat name as given, before the mode replaces it."""
        return next((value for name, value in self.replaced if name == flat), self.value(flat))

    def without_mode(self) -> Settings:
        """Return the same values without the mode, so that code may change one of them."""
        if self.ranking.mode == SETTINGS:
            return self
        return replace(self, ranking=replace(self.ranking, mode=SETTINGS), replaced=())

    def layered(self, values: Mapping[str, Any], origin: str) -> Settings:
        """Return these settings with others over them, by flat names.

        They may be recorded or tuned, or come from an arm, an option or a test. Values that [ranking] mode sets stay;
        the given ones are kept for a change of the mode. A value that changes nothing keeps its origin.
        Raises SettingsError for an unknown name.
        """
        changed = {}
        for flat, value in values.items():
            d, now = declared(flat), self.given(flat)
            if value != now and (meant := d.of_record(value)) != now:
                changed[flat] = meant
        return self._with(changed, dict.fromkeys(changed, origin)) if changed else self

    def _with(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
        decided = MODES[values.get("ranking_mode", self.ranking.mode)]
        given = {**dict(self.replaced), **values}
        replaced = {n: given[n] if n in given else self.value(n) for n in decided}
        kept = tuple(sorted((n, value) for n, value in replaced.items() if value != decided[n]))
        tables: dict[str, dict[str, Any]] = {}
        for flat, value in {**given, **decided}.items():
            tables.setdefault(DECLARED[flat].table, {})[DECLARED[flat].key] = value
        own = tables.pop("", {})
        made = {name: replace(self.table(name), **changes) for name, changes in tables.items()}
        models = tuple(made.pop(name, table) for name, table in zip(_MODELS, self.models, strict=True))
        return replace(self, **own, **made, models=models, replaced=kept, origins={**self.origins, **origins})

    def recorded(self, *phases: Phase) -> dict[str, Any]:
        """Return the settings of these phases as JSON values, by default those that shape the lists.

        They are stored with a snapshot and used to build its cutoff again. Settings that the mode replaced are stored
        as given, beside the mode.
        """
        wanted = phases or (Phase.TRAIN, Phase.RANK, Phase.SERVE)
        return {n: d.written(self.given(n)) for n, d in DECLARED.items() if d.rule.phase in wanted}

    def with_recorded(self, recorded: Mapping[str, Any], origin: str = "recorded") -> Settings:
        """Return these settings with everything that shapes the lists as recorded.

        Unknown names are ignored. A record without a mode is older than modes.
        """
        known = {n: v for n, v in recorded.items() if n in DECLARED and DECLARED[n].recorded}
        return self.layered({"ranking_mode": SETTINGS, **known}, origin)

    def overruled(self, recorded: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """Return a line per setting that differs from its recorded value. where: origin of the record."""
        then = self.with_recorded(recorded, where)
        return tuple(
            f"{d.name} {_shown(d, then.given(n))}, {where}, instead of {_shown(d, self.given(n))} from "
            f"{self.origins.get(n, DEFAULT)}; --fresh reads it anew"
            for n, d in DECLARED.items()
            if then.given(n) != self.given(n)
        )

    def is_default(self, name: str) -> bool:
        """Return whether this setting is unset; for a reverse setting, also the forward one."""
        chosen = name in self.origins
        return not chosen and ("_reverse" not in name or self.is_default(name.replace("_reverse", "")))

    def with_tuned(self, tuned: Mapping[str, Any], origin: str = "tuning") -> Settings:
        """Return these settings with tuned values for unset ones. Unknown names are ignored."""
        wanted = {n: v for n, v in tuned.items() if n in DECLARED and DECLARED[n].recorded and self.is_default(n)}
        return self.layered(wanted, origin)

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.recorded(), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def earliest_at(self) -> datetime:
        return self.export.earliest.at

    @property
    def artifacts(self) -> Path:
        """Return the directory of snapshots, bundles and releases: the store, or its local copy."""
        place = self.artifacts_copy if self.artifacts_url else self.artifacts_place.removeprefix("file://")
        return Path(place).expanduser().absolute() if place else self.home / "artifacts"

    @property
    def artifacts_url(self) -> str:
        """Return the object storage of artefacts; empty if the directory is the store."""
        place = self.artifacts_place
        return place if "://" in place and not place.startswith("file://") else ""

    @property
    def api_keys_file(self) -> Path:
        return Path(self.api_keys_path).expanduser().absolute() if self.api_keys_path else self.home / "api-keys.json"

    @property
    def asks_for_keys(self) -> bool:
        return self.api_keys == "on" or (self.api_keys == "auto" and not is_loopback(self.reader_host))

    @property
    def reader_address(self) -> str:
        return f"http://{self.reader_host}:{self.reader_port}"

    @property
    def redis_address(self) -> str:
        """Return REDIS_URL without options that change the form of replies.

        All clients read bytes, in protocol 2.
        """
        address, _, query = self.redis_url.reveal().partition("?")
        kept = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in _FORMS)
        return f"{address}?{kept}" if kept else address

    @property
    def sqlalchemy_url(self) -> str:
        """Return DATABASE_URL with an explicit driver: SQLAlchemy 2.1 has another default for postgresql://."""
        return _with_driver(self.database_url.reveal())

    @property
    def airflow_address(self) -> str:
        """Return the address of Airflow for links of the console; empty if unknown."""
        return (self.airflow_seen_at or self.airflow_url).rstrip("/")

    @property
    def airflow_sqlalchemy_url(self) -> str:
        """Return the URL of Airflow's metadata database; empty if unknown."""
        return _with_driver(self.airflow_database_url.reveal())

    @property
    def airflow_log_folder(self) -> Path:
        return Path(self.airflow_logs).expanduser().absolute() if self.airflow_logs else self.home / "airflow" / "logs"

    @property
    def reader_sqlalchemy_url(self) -> str:
        """Return the URL of the reader's database: a replica if there is one (N06)."""
        return _with_driver(self.reader_database_url.reveal() or self.database_url.reveal())


def _shown(d: Declared, value: Any) -> str:
    return UNSET if value is None else str(d.written(value))[:80]


def _with_driver(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme.split("+")[0] in ("postgresql", "postgres") else url


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"  # any other name may resolve to any address
