"""`make up`, `make down`, `make reset`: start and stop all of Matchbook on this machine."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import FrameType, ModuleType
from urllib.parse import urlsplit

from local import airflow_api as builds
from local.airflow import (
    CHECKOUT,
    address,
    admin_password,
    airflow_environment,
    drop_metadata,
    shared_environment,
    start_airflow,
    starts_later,
)
from local.airflow_client import AirflowApi
from local.drain import start_drain
from local.processes import ManagedProcess, stop_together, tail
from local.reader import start_reader, wait_for_reader
from local.servers import port_is_free, remove_home, start_servers, stop_servers
from models.errors import MatchbookError, ServiceError, file_error
from models.settings.settings import Settings

WATCH_S = 1.0
SCHEDULER, AHEAD_S = "airflow-scheduler", 4.0
PATIENCE_S = 6.0  # Airflow's API server loses no data if killed, and needs much longer to end by itself


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 done, 1 failed, 2 wrong use.

    Never 130, because Ctrl-C is the normal end of `make up`.
    """
    parser = argparse.ArgumentParser(prog="make", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    up = steps.add_parser("up")
    up.add_argument("--data", type=Path, help="load this folder of CSV instead of the sample marketplace")
    up.add_argument("--detach", action="store_true", help="return once lists are served")
    steps.add_parser("down")
    steps.add_parser("reset")
    args = parser.parse_args(argv)
    try:
        settings = Settings.from_env()
        if args.step == "up":
            return bring_up(settings, args.data, args.detach)
        return take_down(settings) if args.step == "down" else reset(settings)
    except MatchbookError as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    except OSError as error:
        found = file_error(error)
        say(f"{type(found).__name__}: {found}")
        return 1
    except KeyboardInterrupt:
        return 1


def bring_up(settings: Settings, data: Path | None, detach: bool) -> int:
    """Start everything and wait until it is stopped; with `detach`, return when lists are served."""
    running = Running(settings)
    if running.alive():
        return _already_up(settings, data)
    _stop_services(running)  # left by a run that was killed
    _refuse_taken_ports(settings)
    _stop_like_ctrl_c()
    try:
        running.write({"up": ManagedProcess.of_pid(os.getpid())})
        healthy = _everything(settings, running, data)
        if detach:
            running.forget("up")
            return 0 if healthy else 1
        return _stay(running, healthy)
    except KeyboardInterrupt:
        _go_down(settings, running)
        if detach:
            say("stopped before the first lists; your data stay: run the same command again")
        return 1 if detach else 0
    except BaseException:
        _go_down(settings, running)
        raise


def take_down(settings: Settings) -> int:
    """Stop only what `make up` started. Processes that already ended are no error."""
    running = Running(settings)
    foreground = running.processes().get("up")
    if foreground is not None and foreground.pid != os.getpid():
        foreground.stop(signal.SIGTERM, patience_s=60.0)  # it stops its own processes before it ends
    stopped = _stop_services(running) + stop_servers(settings)
    running.clear()
    ended = (["make up"] if foreground is not None else []) + stopped
    say(f"stopped: {', '.join(ended)}" if ended else f"nothing of {settings.home} was running")
    return 0


def reset(settings: Settings) -> int:
    """Stop everything; remove the home and files placed elsewhere for it."""
    take_down(settings)
    if settings.database_url:
        with suppress(Exception):  # the user's own server may be gone, and our database with it
            drop_metadata(settings)
    removed = remove_home(settings)
    say(f"removed: {', '.join(map(str, removed))}" if removed else f"there is nothing at {settings.home}")
    if settings.home.exists():
        say(f"{settings.home} holds files that Matchbook did not write; they were not removed")
    return 0


class Running:
    """Processes that `make up` started, by name; stored in the home."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / "running.json"

    def processes(self) -> dict[str, ManagedProcess]:
        try:
            return {name: ManagedProcess.from_json(note) for name, note in json.loads(self._path.read_text()).items()}
        except FileNotFoundError:
            return {}

    def alive(self) -> bool:
        """Return whether every process of a finished start still runs."""
        services = {n: p for n, p in self.processes().items() if n != "up"}
        return {"reader", "drain"} <= set(services) and all(p.alive() for p in services.values())

    def write(self, processes: dict[str, ManagedProcess]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".new")
        aside.write_text(json.dumps({name: p.to_json() for name, p in processes.items()}, indent=1))
        aside.rename(self._path)

    def add(self, processes: dict[str, ManagedProcess]) -> None:
        self.write(self.processes() | processes)

    def forget(self, name: str) -> None:
        self.write({n: p for n, p in self.processes().items() if n != name})

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def check(self, logs: Path) -> None:
        """Raise ServiceError for the first process that has ended, with the end of its log."""
        for name, process in self.processes().items():
            if not process.alive():
                raise ServiceError(f"{name} has ended; the end of {logs / name}.log:\n{tail(logs / f'{name}.log')}")


def _everything(settings: Settings, running: Running, data: Path | None) -> bool:
    """Start everything until lists are served; return False if the build failed.

    `running` receives the started processes.
    """
    logs = settings.home / "logs"
    say(f"Matchbook stores everything in {settings.home}")
    ready = start_servers(settings)
    say("PostgreSQL and Redis: " + ("yours" if settings.database_url and settings.redis_url else "running"))
    if data is not None:  # before Airflow starts, because the folder may be refused
        say(_marketplace().prepare(ready, data))
    say("Airflow and the reader: starting")
    later = starts_later(ready)
    with ThreadPoolExecutor(1) as aside:  # Airflow is the slowest to start
        airflow = aside.submit(start_airflow, ready, later)
        try:
            marketplace = _marketplace()
            if data is None:
                say(marketplace.prepare(ready, None))
        finally:
            running.add(airflow.result())
    reader = start_reader(ready)
    running.add(reader)
    api = AirflowApi(address(settings), admin_password(settings))
    builds.prepare_dags(
        api,
        lambda: running.check(logs),
        lambda: running.add(start_drain(ready) | start_airflow(ready, running.processes())),
    )
    wait_for_reader(ready, reader["reader"])
    say(f"Airflow: {api.address}  (user admin, password {admin_password(settings)})")
    if not marketplace.begin_serving(ready, api, say, lambda: running.check(logs)):
        return False
    _wait_until_served(ready)
    _say_where(ready, api)
    return True


def _marketplace() -> ModuleType:
    """Import the code that loads data and builds. It needs pandas, so this happens while Airflow starts."""
    from pipelines.cli import first_build

    return first_build


def _wait_until_served(ready: Settings, patience_s: float = 30.0) -> None:
    """Wait until all reader processes have loaded the release: several good answers in a row."""
    deadline, wanted = time.monotonic() + patience_s, 4 * ready.reader_workers
    in_a_row = 0
    while in_a_row < wanted:
        in_a_row = in_a_row + 1 if _status(f"{ready.reader_address}/health/ready") == http.client.OK else 0
        if time.monotonic() > deadline:
            raise ServiceError(
                f"the reader does not serve the new lists after {patience_s:.0f} s; see "
                f"{ready.home / 'logs' / 'reader.log'}"
            )
        time.sleep(0.05)


def _say_where(ready: Settings, api: AirflowApi) -> None:
    say(
        f"\nReader:  {ready.reader_address}  (the console, and the API)\n"
        f"Airflow: {api.address}  (user admin, password {admin_password(ready)})\n"
    )
    expected, header = http.client.OK, ""
    if ready.asks_for_keys:
        expected, header = http.client.UNAUTHORIZED, " -H 'X-API-Key: <key>'"
        say("The reader asks for API keys; `python -m pipelines keys add NAME` makes one\n")
    for surface, owner in _marketplace().examples(ready):
        url = f"{ready.reader_address}/api/recommendations/{surface}/{owner}"
        if _status(url) != expected:
            raise ServiceError(f"the reader did not answer {url}; see {ready.home / 'logs' / 'reader.log'}")
        say(f"curl '{url}?limit=5'{header}")


def _stay(running: Running, healthy: bool) -> int:
    """Wait for Ctrl-C, `make down` (SIGTERM) or the end of a process."""
    say("\nCtrl-C stops everything." if healthy else "\nAirflow and the reader keep running; Ctrl-C stops everything.")
    services = {n: p for n, p in running.processes().items() if n != "up"}
    while all(p.alive() for p in services.values()):
        time.sleep(WATCH_S)
    running.check(running._path.parent / "logs")
    return 0


def _go_down(settings: Settings, running: Running) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)  # a second Ctrl-C must not leave processes running
    say("\nstopping …")
    _stop_services(running)
    stop_servers(settings)
    running.clear()
    say("everything that `make up` started has stopped; the data stay")


def _stop_services(running: Running) -> list[str]:
    """Stop all services and return their names. The scheduler stops first, so that tasks can report their ends."""
    services = {n: p for n, p in running.processes().items() if n != "up" and p.members()}
    if SCHEDULER in services:
        services[SCHEDULER].ask()
        services[SCHEDULER].wait(AHEAD_S)
    stop_together(services, PATIENCE_S)
    return list(services)


def _already_up(settings: Settings, data: Path | None) -> int:
    say(
        f"Matchbook is running already: reader {settings.reader_address}, Airflow {address(settings)}; "
        "`make down` stops it"
    )
    if data is not None:
        say(_marketplace().prepare(start_servers(settings), data))
    return 0


def _refuse_taken_ports(settings: Settings) -> None:
    taken = [
        f"{port} ({what}; choose another with {name}=…)"
        for what, host, port, name in (
            ("the reader", settings.reader_host, settings.reader_port, "MATCHBOOK_READER_PORT"),
            ("Airflow", "127.0.0.1", settings.airflow_port, "MATCHBOOK_AIRFLOW_PORT"),
        )
        if not port_is_free(port, host)
    ]
    if taken:
        raise ServiceError(
            f"nothing was started: another program listens on port {' and on port '.join(taken)}, "
            "for example: make up MATCHBOOK_READER_PORT=5001 MATCHBOOK_AIRFLOW_PORT=8081"
        )


def _stop_like_ctrl_c() -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # also where the shell ignores Ctrl-C
        signal.signal(sign, stop)


def _status(url: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def say(text: str) -> None:
    """Print for the user, and flush, because the output may be a file."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    step = steps.add_parser("airflow", help="Airflow's own command line, such as `airflow backfill create …`")
    step.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="arguments of `airflow`")
    step.set_defaults(run=_run)
    worker = steps.add_parser(
        "worker-env", help="print the environment for a worker on another machine, as shell lines with secrets"
    )
    worker.set_defaults(run=_worker_env)


def _run(settings: Settings, args: argparse.Namespace) -> int:
    """Run airflow with the metadata, secrets and DAGs of the running processes; return its exit status."""
    program = Path(sys.executable).with_name("airflow")
    return subprocess.run([program, *args.words], env=airflow_environment(settings), cwd=CHECKOUT).returncode


def _worker_env(settings: Settings, args: argparse.Namespace) -> None:
    for name, value in shared_environment(settings).items():
        print(f"export {name}={shlex.quote(value)}")
