"""A process that drains posted events as they arrive and runs `drain_events` once a minute.

Several may run at once, also beside the DAG: the consumer group gives each entry to one of them. If a process dies,
another one claims its entries after a minute, so nothing is lost.
"""

from __future__ import annotations

import logging
import time
from threading import Event

from models.errors import MatchbookError
from models.lists.redis_format import Keys
from models.settings.settings import Settings
from pipelines.events.drain import drain_events, drain_stream
from pipelines.redis_client import checked, redis_errors
from pipelines.store.mirror import pull, push

log = logging.getLogger(__name__)

#: Seconds between two runs of `drain_events`, which also restores lists and updates the filters.
PASS_S = 60.0
#: Seconds of one blocking read: the longest delay before SIGTERM ends the process.
WAIT_S = 2.0
#: Seconds between two transactions, so that busy minutes have few large ones.
PAUSE_S = 1.0
#: Seconds until the next attempt after an error. The delay doubles each time, up to the second value.
RETRY_S, RETRY_MOST_S = 1.0, 30.0
#: The process touches this file while it works; the container's health check reads its age.
HEARTBEAT = "drain-heartbeat"


def consume(settings: Settings, stop: Event) -> None:
    """Drain until `stop` is set. After an error, retry with increasing delay."""
    delay_s = RETRY_S
    while not stop.is_set():
        try:
            _one_pass(settings, stop)
        except MatchbookError as error:
            log.error("%s: %s; next attempt in %.0f s", type(error).__name__, error, delay_s)
        except Exception:  # an unexpected error must not stop the other processes of this machine
            log.exception("the drain failed; next attempt in %.0f s", delay_s)
        else:
            delay_s = RETRY_S
            continue
        stop.wait(delay_s)
        delay_s = min(2 * delay_s, RETRY_MOST_S)


def _one_pass(settings: Settings, stop: Event) -> None:
    """Run `drain_events`, then store arriving entries until the next pass is due."""
    due, heartbeat = time.monotonic() + PASS_S, settings.home / HEARTBEAT
    pull(settings)
    drain_events(settings)
    push(settings)
    with redis_errors("waiting for posted events"), checked(settings) as client:
        while not stop.is_set() and time.monotonic() < due:
            heartbeat.touch()
            if any(drain_stream(settings, client, Keys(settings.namespace), wait_s=WAIT_S).values()):
                stop.wait(PAUSE_S)
