"""`keys add`, `keys list`, `keys revoke`: API keys of the reader. All reader processes apply changes at once."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sql
from models.errors import DataError, SettingsError, regular
from models.keys import BOUNDS, ApiKey, Scope, decode_keys, encode_keys, new_key
from models.lists.redis_server import pipeline_rights, reader_rights
from models.schema import EventType
from models.settings.settings import Settings
from pipelines.cli import UsageError, number
from pipelines.postgres import engine, run_script, transaction

_REDIS = {"redis-reader": reader_rights, "redis-pipeline": pipeline_rights}


def register_grants(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    step = steps.add_parser("grants", help="print the required rights as SQL or ACL rules")
    step.add_argument("of", choices=[*_scripts(), *_REDIS])
    step.add_argument(
        "--apply", action="store_true", help="run the SQL as the user of DATABASE_URL instead of printing it"
    )
    step.set_defaults(run=_grants, needs_servers=False)


def _scripts() -> dict[str, str]:
    return {name.partition("/")[2].removesuffix(".sql"): script for name, script in sql.scripts("grants")}


def _grants(settings: Settings, args: argparse.Namespace) -> None:
    if args.of in _REDIS and args.apply:
        raise UsageError("--apply is for PostgreSQL; give the printed rules to ACL SETUSER")
    if args.of in _REDIS:
        sys.stdout.write(_REDIS[args.of](settings.namespace) + "\n")
    elif args.apply:
        with transaction(engine(settings)) as connection:
            run_script(connection, _scripts()[args.of])
    else:
        sys.stdout.write(_scripts()[args.of])


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    register_grants(steps)
    keys = steps.add_parser("keys", help="the API keys of the reader: add, list, revoke")
    verbs = keys.add_subparsers(dest="verb", metavar="VERB", required=True)
    add = verbs.add_parser("add", help="create a key; it is shown once and stored as a hash")
    add.add_argument("name", help="a label for people; need not be unique")
    add.add_argument(
        "--scope",
        action="append",
        type=Scope,
        choices=tuple(Scope),
        dest="scopes",
        help="may be repeated; default: read. admin opens everything",
    )
    add.add_argument(
        "--days",
        type=number(float, "days above 0, such as 90, at most 36500", lambda d: 0 < d <= 36_500),
        help="until it expires; default: never",
    )
    add.add_argument(
        "--type",
        action="append",
        choices=tuple(EventType),
        dest="types",
        default=[],
        help="bind a key of the scope events to events of this type; may be repeated",
    )
    for side in ("user", "startup"):
        add.add_argument(
            f"--{side}",
            action="append",
            dest=f"{side}s",
            metavar="ID",
            default=[],
            help=f"bind it to events of this {side}, or of ids with this prefix; may be repeated",
        )
    add.set_defaults(run=_add, needs_servers=False)
    verbs.add_parser("list", help="every key, one JSON line each").set_defaults(run=_list, needs_servers=False)
    revoke = verbs.add_parser("revoke", help="end a key at once")
    revoke.add_argument("id", help="as `keys list` shows it")
    revoke.set_defaults(run=_revoke, needs_servers=False)


def _add(settings: Settings, args: argparse.Namespace) -> None:
    now = _now()
    until = now + timedelta(days=args.days) if args.days else None
    bounds = {name: getattr(args, name) for name in BOUNDS}
    default = Scope.EVENTS if any(bounds.values()) else Scope.READ
    try:
        key, secret = new_key(args.name, args.scopes or [default], now, until, bounds)
    except SettingsError as error:
        raise UsageError(str(error)) from error
    with _changing(settings.api_keys_file) as keys:
        keys[key.id] = key
    print(json.dumps(_shown(key, now) | {"key": secret}))
    print("the key is shown only once: store it as a secret and send it in the header X-API-Key", file=sys.stderr)


def _list(settings: Settings, args: argparse.Namespace) -> None:
    for key in _held(settings.api_keys_file).values():
        print(json.dumps(_shown(key, _now())))


def _revoke(settings: Settings, args: argparse.Namespace) -> None:
    with _changing(settings.api_keys_file) as keys:
        if args.id not in keys:
            raise DataError(f"no key {args.id} in {settings.api_keys_file}; `python -m pipelines keys list` shows all")
        gone = keys.pop(args.id)
    print(json.dumps(_shown(gone, _now()) | {"revoked": True}))


def _shown(key: ApiKey, now: datetime) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "expired": key.has_expired(now),
        **({name: list(getattr(key, name)) for name in BOUNDS} if key.bound else {}),
    }


def _held(path: Path) -> dict[str, ApiKey]:
    return decode_keys(regular(path).read_bytes()) if path.exists() else {}


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, ApiKey]]:
    """Yield the keys to be changed in place. Lock the file; write a private copy and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = _held(path)
        yield keys
        aside = path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(encode_keys(keys.values()))
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        os.close(lock)


def _now() -> datetime:
    return datetime.now(UTC)
