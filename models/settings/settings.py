"""Settings: one frozen value, read from matchbook.toml and the environment, passed to every function (G01-G11)."""

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
    Ranking,
    Reader,
    Refresh,
    Releases,
    Retrain,
    Routing,
    Score,
    Train,
)

DEFAULT = "default"
_FORMS = ("protocol", "decode_responses", "encoding", "encoding_errors", "legacy_responses")
#: By table of a model its place in `Settings.models`.
_MODELS = {name: i for i, name in enumerate(n for n in ALL_TABLES if n not in TABLES)}
#: By dataclass the table's name; the first where external models share one.
_NAMES = {kind: name for name, kind in reversed(ALL_TABLES.items())}
_Table = TypeVar("_Table")


@dataclass(frozen=True)
class Settings(Environment):
    """Every setting as it holds: those of the environment, the tables, and by `of` those of models.

    What [ranking] mode decides holds as the mode has it. Make others by `from_env` and `layered`, which see to that.
    replaced: flat names and values of settings that the mode replaced, sorted by name. origins: by flat name where a
    value came from, of those that are not the default.
    """

    ranking: Ranking = Ranking()
    routing: Routing = Routing()
    lists: Lists = Lists()
    export: Export = Export()
    train: Train = Train()
    holdout: Holdout = Holdout()
    score: Score = Score()
    gate: Gate = Gate()
    releases: Releases = Releases()
    retrain: Retrain = Retrain()
    refresh: Refresh = Refresh()
    reader: Reader = Reader()
    events: Events = Events()
    engagement: Engagement = Engagement()
    airflow: Airflow = Airflow()
    models: tuple[Any, ...] = tuple(ALL_TABLES[name]() for name in _MODELS)
    replaced: tuple[tuple[str, Any], ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read and check file and environment. Raises SettingsError naming the place, the value and the rule."""
        values = found(environ)
        settings = cls()._with({k: v for k, (v, _) in values.items()}, {k: origin for k, (_, origin) in values.items()})
        return settings if "home" in values else replace(settings, home=place("MATCHBOOK_HOME", settings.home))

    def of(self, table: type[_Table]) -> _Table:
        """A table by its dataclass, typed. Raises KeyError where no model and no part declares it."""
        found: _Table = self.table(_NAMES[table])
        return found

    def table(self, name: str) -> Any:
        """A table by its name in matchbook.toml; the empty name: settings of the environment. For walks over all
        tables: `of` is typed."""
        if name in TABLES:
            return getattr(self, name)
        return self.models[_MODELS[name]] if name else self

    def at(self, path: str) -> Any:
        """The value of "table.key"."""
        table, _, key = path.partition(".")
        return getattr(self.table(table), key)

    def value(self, flat: str) -> Any:
        """The value of a flat name. Raises SettingsError."""
        d = declared(flat)
        return getattr(self.table(d.table), d.key)

    def origin(self, flat: str) -> str:
        """Where the value of a flat name came from."""
        return f"[ranking] mode = {self.ranking.mode}" if flat in self.decided else self.origins.get(flat, DEFAULT)

    @property
    def decided(self) -> Mapping[str, Any]:
        """By flat name what [ranking] mode decides, and its values."""
        return MODES[self.ranking.mode]

    def given(self, flat: str) -> Any:
        """The value of a flat name as file, environment and so on gave it, whatever the mode makes of it."""
        return next((value for name, value in self.replaced if name == flat), self.value(flat))

    def without_mode(self) -> Settings:
        """The same values, each as a single setting, so that code may change one of them."""
        if self.ranking.mode == SETTINGS:
            return self
        return replace(self, ranking=replace(self.ranking, mode=SETTINGS), replaced=())

    def layered(self, values: Mapping[str, Any], origin: str) -> Settings:
        """These settings with others over them, by flat names: recorded, tuned, an arm's, an option's, a test's.

        What [ranking] mode decides stays as it decides, and is kept for when the mode changes. What changes nothing
        keeps its origin. Raises SettingsError for an unknown name."""
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
        """What acts in these phases, by default what shapes the lists, as JSON values by flat names.

        It is stored with a snapshot and used again when its cutoff is built again. What the mode replaced is stored as
        it was given, beside the mode."""
        wanted = phases or (Phase.TRAIN, Phase.RANK, Phase.SERVE)
        return {n: d.written(self.given(n)) for n, d in DECLARED.items() if d.rule.phase in wanted}

    def with_recorded(self, recorded: Mapping[str, Any], origin: str = "recorded") -> Settings:
        """These settings, with everything that shapes the lists as it was recorded; unknown names are passed over. A
        record without a mode was made before there was one."""
        known = {n: v for n, v in recorded.items() if n in DECLARED and DECLARED[n].recorded}
        return self.layered({"ranking_mode": SETTINGS, **known}, origin)

    def overruled(self, recorded: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """One line per setting that differs from its recorded value. where: the origin of the recorded values."""
        then = self.with_recorded(recorded, where)
        return tuple(
            f"{d.name} {_shown(d, then.given(n))}, {where}, instead of {_shown(d, self.given(n))} from "
            f"{self.origins.get(n, DEFAULT)}; --fresh reads it anew"
            for n, d in DECLARED.items()
            if then.given(n) != self.given(n)
        )

    def is_default(self, name: str) -> bool:
        """Whether this setting is unset; for a reverse setting, also the forward one."""
        chosen = name in self.origins
        return not chosen and ("_reverse" not in name or self.is_default(name.replace("_reverse", "")))

    def with_tuned(self, tuned: Mapping[str, Any], origin: str = "tuning") -> Settings:
        """These settings with tuned values for unset ones; unknown names are ignored."""
        wanted = {n: v for n, v in tuned.items() if n in DECLARED and DECLARED[n].recorded and self.is_default(n)}
        return self.layered(wanted, origin)

    def digest(self) -> str:
        """Eight hex digits over `recorded()`."""
        return hashlib.sha256(json.dumps(self.recorded(), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def earliest_at(self) -> datetime:
        """The first plausible instant."""
        return self.export.earliest.at

    @property
    def artifacts(self) -> Path:
        """The directory of snapshots, bundles and releases: the store, or this machine's copy of it."""
        place = self.artifacts_copy if self.artifacts_url else self.artifacts_place.removeprefix("file://")
        return Path(place).expanduser().absolute() if place else self.home / "artifacts"

    @property
    def artifacts_url(self) -> str:
        """The object storage of artefacts; empty if the directory is the store."""
        place = self.artifacts_place
        return place if "://" in place and not place.startswith("file://") else ""

    @property
    def api_keys_file(self) -> Path:
        return Path(self.api_keys_path).expanduser().absolute() if self.api_keys_path else self.home / "api-keys.json"

    @property
    def asks_for_keys(self) -> bool:
        """Whether the reader requires an API key."""
        return self.api_keys == "on" or (self.api_keys == "auto" and not _is_loopback(self.reader_host))

    @property
    def reader_address(self) -> str:
        return f"http://{self.reader_host}:{self.reader_port}"

    @property
    def redis_address(self) -> str:
        """REDIS_URL without options that change the form of replies: all clients read bytes, in protocol 2."""
        address, _, query = self.redis_url.reveal().partition("?")
        kept = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in _FORMS)
        return f"{address}?{kept}" if kept else address

    @property
    def sqlalchemy_url(self) -> str:
        """DATABASE_URL with an explicit driver, because SQLAlchemy 2.1 has another default for postgresql://."""
        return _with_driver(self.database_url.reveal())

    @property
    def airflow_sqlalchemy_url(self) -> str:
        """The URL of Airflow's metadata database; empty if unknown."""
        return _with_driver(self.airflow_database_url.reveal())

    @property
    def airflow_log_folder(self) -> Path:
        return Path(self.airflow_logs).expanduser().absolute() if self.airflow_logs else self.home / "airflow" / "logs"

    @property
    def reader_sqlalchemy_url(self) -> str:
        """The URL of the reader's database: a replica if there is one (N06)."""
        return _with_driver(self.reader_database_url.reveal() or self.database_url.reveal())


def _shown(d: Declared, value: Any) -> str:
    return UNSET if value is None else str(d.written(value))[:80]


def _with_driver(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme.split("+")[0] in ("postgresql", "postgres") else url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"  # any other name may resolve to any address
