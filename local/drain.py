"""Start the process that drains posted events (`pipelines/events/consumer.py`) on this machine."""

from __future__ import annotations

import sys

from local.airflow import CHECKOUT, child_environment
from local.processes import ManagedProcess, start
from models.settings.settings import Settings


def start_drain(settings: Settings) -> dict[str, ManagedProcess]:
    """Start the drain. `settings` hold both servers' addresses. Raises ServiceError."""
    command = [sys.executable, "-m", "pipelines.events"]
    return {"drain": start(command, settings.home / "logs" / "drain.log", child_environment(settings), CHECKOUT)}
