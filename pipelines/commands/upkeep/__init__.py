"""Commands that keep the house in order: first lists, events, erasure, API keys, grants, the doctor, Airflow's own."""

from __future__ import annotations

import argparse

from pipelines.commands.upkeep import airflow, begin, keys


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Each module's steps."""
    for module in (airflow, begin, keys):
        module.register(steps)
