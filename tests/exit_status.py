"""Run a command of the command line and return its exit status."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.__main__ import main


def exit_status(words: Sequence[str]) -> int:
    try:
        return main(words)
    except SystemExit as ended:  # argparse ends the process
        return int(ended.code or 0)
