"""Act on the gate's verdict: publish, stop, ask a person, or use the configured answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models.errors import DataError, GateClosed
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.gate.checks import GO, STOP
from pipelines.publish.publish import publish_release
from pipelines.refs import GateRef, PublishRef
from pipelines.run.run import Run, log_decision

_LOG = logging.getLogger(__name__)
GATE, ASKED = "gate.json", "asked.json"
PUBLISH, HOLD = "publish", "hold"


@dataclass(frozen=True)
class GateContext:
    """Input of the decision besides the verdict.

    published: the run intends to publish. force: the person who started the run has decided already.
    backfill: nobody is asked about a past day. attended: a person can be asked.
    """

    published: bool = True
    force: bool = False
    backfill: bool = False
    attended: bool = True


def resolve_gate(run: Run, case: GateContext) -> bool:
    """Return whether a person must be asked. Otherwise record the answer.

    Drops an earlier answer, because a cleared task means a new decision. Raises GateClosed if the release is stopped.
    """
    gate = {**read_gate(run), "answer": None}
    run.artifacts.write_json(run.directory / GATE, gate)
    verdict = gate["verdict"]
    if not case.published or (verdict == GO and not gate.get("older")):
        return False
    if case.force:
        record_answer(run, PUBLISH, "force")
    elif not run.settings.gate.enabled:
        record_answer(run, PUBLISH, "[gate] enabled = false")
    elif verdict == GO:
        return False  # no question for an older cutoff: `why_held_back` keeps it from going live after a rollback
    elif verdict == STOP:
        raise GateClosed(stop_message(gate))
    elif case.backfill:
        record_answer(run, PUBLISH, "backfill")
    elif case.attended:
        return True
    else:
        record_answer(run, run.settings.gate.default, "[gate] default")
    return False


def pass_unattended(run: Run, publish: bool, force: bool) -> None:
    """The step if nobody can be asked. Raises GateClosed if the release is stopped."""
    resolve_gate(run, GateContext(publish, force, attended=False))


def publish_weighed(
    run: Run, weighed: GateRef, publish: bool, force: bool, surfaces: Sequence[str] | None
) -> PublishRef:
    """The step: make the release live if allowed (`publish_release`)."""
    name, reason = weighed.release, why_held_back(run, weighed.release) if publish else None
    if surfaces is not None and set(surfaces) != {s.value for s in Surface}:
        reason = f"only some surfaces were built: {name} is stored for inspection and cannot go live"
    elif not publish:
        reason = f"this was a dry run: {name} is stored, `python -m pipelines promote {name}` makes it live"
    if reason:
        return PublishRef(False, name, reason)
    return publish_release(run.settings, name, force)


def record_answer(run: Run, chosen: str, by: str) -> dict[str, Any]:
    gate = read_gate(run)
    at = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 time of the answer, which no list depends on
    gate["answer"] = {"chosen": chosen, "by": by, "at": at}
    run.artifacts.write_json(run.directory / GATE, gate)
    log_decision(
        run.settings,
        "approval",
        chosen,
        gate["reasons"],
        by=by,
        run=run.id,
        release=gate["release"],
        gate=gate["verdict"],
    )
    _LOG.warning("gate %s: %s, by %s", gate["verdict"], chosen, by)
    return dict(gate["answer"])


def ask_once(run: Run, subject: str, body: str) -> None:
    """Record the question for a person. Raises GateClosed if this run asked a different one before.

    Airflow would show the text of the first question for another release.
    """
    path, now = run.directory / ASKED, {"subject": subject, "body": body}
    if path.is_file() and json.loads(path.read_text()) != now:
        raise GateClosed(
            "this run has asked another question before, and Airflow would show the old one: read the "
            "report of this run, then promote its release, or trigger a new run with the same as_of"
        )
    run.artifacts.write_json(path, now)


def why_held_back(run: Run, release: str) -> str | None:
    """Return why a release may not be published, or None. Raises DataError if the gate has not checked it."""
    gate = read_gate(run)
    if gate["release"] != release:
        raise DataError(f"the gate has not checked {release} but {gate['release']}: clear the task `weigh` of this run")
    answer, name = gate["answer"], gate["release"]
    if answer and answer["chosen"] == PUBLISH:
        return None
    if gate.get("older"):
        return (
            f"{name} is stored for comparison: {gate['champion']} with a newer cutoff was live at the "
            f"time of the check. `python -m pipelines promote {name}` makes it live; clear `weigh` to check it again"
        )
    if gate["verdict"] == GO:
        return None
    who = f"{answer['by']} chose to hold it" if answer else f"the gate says {gate['verdict']} and nobody has answered"
    return (
        f"{name} is stored and not published: {who} ({_first(gate)}). What is live stays; "
        f"`python -m pipelines promote {name}` makes it live"
    )


def read_gate(run: Run) -> dict[str, Any]:
    """Return the gate.json that the task `weigh` wrote. Raises DataError."""
    path = run.directory / GATE
    if not path.is_file():
        raise DataError(f"{path} is missing: clear the task `weigh` of this run, or start the build again")
    return dict(json.loads(path.read_text()))


def stop_message(gate: dict[str, Any]) -> str:
    name, live, reasons = gate["release"], gate["champion"], gate["reasons"]
    more = f" (and {len(reasons) - 3} more reasons)" if len(reasons) > 3 else ""
    compare = f" Compare: `python -m pipelines compare {live} {name}`." if live else ""
    return (
        f"{name} is not published: {'; '.join(reasons[:3])}{more}. It is stored, and what is live stays.{compare} "
        f"To publish it anyway: `python -m pipelines promote {name}`, or start the build with `force`"
    )


def question(gate: dict[str, Any], settings: Settings, link: str = "") -> tuple[str, str]:
    """Return (subject, body as Markdown) of the question to a person."""
    subject = f"Publish {gate['release']}? {len(gate['reasons'])} reason(s) to check it first"
    lines = [
        f"**{gate['release']}** (cutoff {gate['as_of']}) would replace **{gate['champion']}**. Reasons against it:",
        "",
        *(f"- {reason}" for reason in gate["reasons"]),
        "",
    ]
    lines += [*(f"- {note}" for note in gate["notes"]), ""] if gate["notes"] else []
    lines += ["| check | surface | segment | value | limit |", "|---|---|---|---|---|", *_rows(gate), ""]
    lines += [f"[The report of this build]({link})", ""] if link else []
    lines += [
        "**publish** makes it live; **hold** leaves the live lists as they are, and the release stays stored. "
        f"Without an answer within {settings.gate.timeout_hours:g} hours: {settings.gate.default}."
    ]
    return subject, "\n".join(lines)


def _rows(gate: dict[str, Any]) -> list[str]:
    return [
        f"| {c['name']} | {c['surface']} | {c['segment'] or ''} | {c['value']:.4f} | {c['limit']:.4f} |"
        for c in gate["checks"]
        if c["verdict"] != GO
    ]


def _first(gate: dict[str, Any]) -> str:
    return str(gate["reasons"][0])
