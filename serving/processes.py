"""How gunicorn runs the reader, from the usual settings: `gunicorn -c python:serving.processes serving.wsgi:app`."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

from models.settings import Settings

_settings = Settings.from_env()
_numbers = tempfile.mkdtemp(prefix="matchbook-metrics-")

bind = f"{_settings.reader_host}:{_settings.reader_port}"
workers = _settings.reader_workers
worker_class = "gthread"  # measured 1.2 times as fast as sync workers
threads = _settings.reader_threads
timeout = 30
graceful_timeout = 10
keepalive = 5
limit_request_line = 8190  # the most there is: 200 excluded ids are longer than the usual 4,094
proc_name = "matchbook-reader"
loglevel = "warning"
control_socket_disable = True  # it would be opened in the home directory
raw_env = [f"PROMETHEUS_MULTIPROC_DIR={_numbers}"]  # /metrics adds up all workers


def child_exit(_server: Any, worker: Any) -> None:
    """A worker is gone: forget what only a living one can say."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    shutil.rmtree(_numbers, ignore_errors=True)
