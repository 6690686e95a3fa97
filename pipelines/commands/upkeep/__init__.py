"""Commands that keep the house in order: posted events, erasure, API keys, the doctor, Airflow's own command line."""

from __future__ import annotations

import argparse

from pipelines.commands.upkeep import airflow, doctor, drain, erase, keys


def register(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Each module's steps."""
    for module in (airflow, doctor, drain, erase, keys):
        module.register(steps)
