"""Run every diagnosis in order. One that fails reports its error and does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime

from models.errors import MatchbookError
from models.settings.settings import Settings
from pipelines.doctor.diagnosis import Diagnosis, State, SystemState
from pipelines.doctor.infrastructure import (
    disk_space,
    drain_works,
    gate_said,
    half_loaded,
    lists_are_late,
    redis_fits,
    redis_memory,
    servers_run,
    slow_answers,
)
from pipelines.doctor.models import empty_tables, ensemble_halves, missing_bundles, reader_opens, sparse_matrix
from pipelines.doctor.quality import ensemble_below, founder_lists, weak_ranker

#: By id: diagnoses of the requirements first, then those of this architecture.
QUESTIONS: dict[str, Callable[[SystemState], Diagnosis]] = {
    "P01": empty_tables,
    "P02": sparse_matrix,
    "P03": missing_bundles,
    "P04": ensemble_halves,
    "P05": ensemble_below,
    "P06": founder_lists,
    "P07": slow_answers,
    "P08": weak_ranker,
    "P09": reader_opens,
    "servers": servers_run,
    "disk": disk_space,
    "redis": redis_fits,
    "memory": redis_memory,
    "lists": lists_are_late,
    "loading": half_loaded,
    "events": drain_works,
    "gate": gate_said,
}
_MARKS = {State.FOUND: "FOUND", State.WELL: "well", State.UNKNOWN: "unknown"}


def diagnose(settings: Settings, at: datetime, running: bool = True) -> list[Diagnosis]:
    """Return every diagnosis at an instant; change nothing.

    running: whether the servers of the settings run.
    """
    patient = SystemState(settings, running, at)
    return [_asked(patient, name, question) for name, question in QUESTIONS.items()]


def as_text(found: Sequence[Diagnosis]) -> str:
    lines = []
    for d in found:
        lines.append(f"{_MARKS[d.state]:8} {d.id:8} {d.title}? {d.says}")
        if d.figures:
            lines.append(f"{'':17} figures: {json.dumps(d.figures, sort_keys=True)}")
        lines.append(f"{'':17} cure: {d.cure}")
    count = sum(d.state is State.FOUND for d in found)
    return "\n".join([*lines, f"{count} found" if count else "nothing found"]) + "\n"


def _asked(patient: SystemState, name: str, question: Callable[[SystemState], Diagnosis]) -> Diagnosis:
    try:
        return question(patient)
    except (MatchbookError, OSError, LookupError, TypeError, ValueError) as error:  # stored data may be damaged
        says = f"{type(error).__name__}: {error}"
        return Diagnosis(name, "This check failed", State.FOUND, says, "fix the cause that the error names")
