"""`doctor`: what may be wrong, whether it is so now, with figures and the cure (P01-P09)."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

from models.settings import Settings
from pipelines.judging.doctor.diagnosis import State
from pipelines.judging.doctor.doctor import diagnose, told
from pipelines.local.servers import running_settings


def register_doctor(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the step of this module to the command line; it looks at what runs and starts nothing."""
    step = steps.add_parser("doctor", help="what may be wrong, whether it is so now, with figures and the cure")
    step.add_argument("--json", action="store_true", help="one JSON line a diagnosis")
    step.set_defaults(run=_doctor, needs_servers=False)


def _doctor(settings: Settings, args: argparse.Namespace) -> int:
    """Exit status 1 where anything was found."""
    ready = running_settings(settings)
    now = datetime.now(UTC)  # noqa: TID251 - it asks how things are now
    found = diagnose(ready or settings, now, ready is not None)
    if args.json:
        sys.stdout.writelines(json.dumps(d.to_json()) + "\n" for d in found)
    else:
        sys.stdout.write(told(found))
    return int(any(d.state is State.FOUND for d in found))
