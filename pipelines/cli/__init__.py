"""The command line. Each module holds one group of commands and has `register(steps)`."""

from __future__ import annotations

import argparse
from datetime import datetime

from models.errors import DataError
from pipelines.run.run import parse_instant


def instant(text: str) -> datetime:
    """Parse an instant; an unreadable one is wrong use (exit status 2)."""
    try:
        return parse_instant(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
