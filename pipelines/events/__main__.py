"""`python -m pipelines.events`: drain posted events as they arrive, until SIGTERM.

It needs DATABASE_URL and REDIS_URL, and imports no training library.
"""

from __future__ import annotations

import logging
import signal
import sys
from threading import Event
from types import FrameType

from models.errors import MatchbookError, SettingsError
from models.settings.settings import Settings
from pipelines.events.consumer import consume


def main() -> int:
    stop = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, end)
    try:
        settings = Settings.from_env()
        logging.basicConfig(
            level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )
        if not (settings.database_url and settings.redis_url):
            raise SettingsError("expected DATABASE_URL and REDIS_URL, the addresses of both servers; set both")
        consume(settings, stop)
    except MatchbookError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
