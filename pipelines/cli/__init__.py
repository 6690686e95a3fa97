"""The command line. Each module holds one group of commands and has `register(steps)`."""

from __future__ import annotations

import argparse
from datetime import datetime

from models.data.entities import is_id
from models.errors import DataError
from pipelines.run.run import parse_instant


def instant(text: str) -> datetime:
    """Parse an instant; an unreadable one is wrong use (exit status 2)."""
    try:
        return parse_instant(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def entity_id(text: str) -> str:
    """Return the id of a person or startup, as tables hold it; a malformed one is wrong use (exit status 2)."""
    if not is_id(text):
        raise argparse.ArgumentTypeError(f"expected a UUID such as 3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10, got {text!r}")
    return text.lower()
