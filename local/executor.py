"""An Airflow LocalExecutor that forks quick tasks and lets the scheduler rest while nothing runs.

Tasks are forks of the scheduler. What it has imported they need not import: that saves each a second of processor time.
So tasks run the code of the scheduler's start.

The scheduler's loop costs about 15 ms of processor time. While tasks run it repeats every 0.1 s, so that the next task
starts at once. Without tasks it repeats about once a second, so a triggered run starts up to a second later.
"""

from __future__ import annotations

import importlib
import time

from airflow.executors.local_executor import LocalExecutor

#: Seconds without a task after which the scheduler rests, and seconds of one rest.
QUIET_S, REST_S = 5.0, 0.9
#: What most tasks import. It opens no connection and starts no thread.
COMMON = ("pipelines.run_build", "pipelines.train_ranker.second_stage", "pipelines.evaluate.evaluate")


class RestingExecutor(LocalExecutor):
    """Rests in its heartbeat, which the scheduler calls once a loop."""

    _busy_at = 0.0

    def start(self) -> None:
        """Import what tasks need, then fork the workers."""
        for name in COMMON:
            importlib.import_module(name)
        super().start()

    def heartbeat(self) -> None:
        super().heartbeat()
        if self.running or self.queued_tasks:
            self._busy_at = time.monotonic()
        elif time.monotonic() - self._busy_at > QUIET_S:
            time.sleep(REST_S)
