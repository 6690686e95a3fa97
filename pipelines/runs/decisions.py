"""What was decided without a person looking on, and why: one JSON line each, appended, never rewritten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from models.settings import Settings
from pipelines.artifacts import append_private

#: Below the artefact root.
LOG = "decisions.jsonl"


def decided(settings: Settings, what: str, verdict: str, reasons: Sequence[str], **more: Any) -> None:
    """Append {"at", "what", "verdict", "reasons", …}. what: "gate", "approval", "retrain", "refresh" …"""
    at = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 when it was decided; no list depends on it
    line = json.dumps({"at": at, "what": what, "verdict": verdict, "reasons": list(reasons), **more}, sort_keys=True)
    append_private(settings.artifacts / LOG, line)


def decisions(settings: Settings, most: int = 100) -> list[dict[str, Any]]:
    """The last `most` decisions, newest first; a line that was cut off by a crash is passed over."""
    path = settings.artifacts / LOG
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    for line in reversed(path.read_text().splitlines()):
        if len(found) == most:
            break
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
