"""Commands that keep the house in order: posted events, erasure, API keys, Airflow's own command line."""

from __future__ import annotations

import argparse

from pipelines.commands.upkeep import airflow, drain, erase, keys


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Each module's steps."""
    for module in (airflow, drain, erase, keys):
        module.register(steps)
