"""Is the house in order: servers, disk, Redis' memory, the age of the live lists, half-loaded keys, the gate's word."""

from __future__ import annotations

import json
import shutil
from typing import Any

from sqlalchemy import text as statement

from models.errors import MatchbookError
from models.nouns.release import Keys
from models.nouns.release.refusals import evicting, unfit
from pipelines.judging.doctor.diagnosis import Diagnosis, Patient, answered, unknown
from pipelines.postgres import engine, transaction
from pipelines.release.budget import MB, budget_of
from pipelines.release.cache import about, connect, decoded, live_release, wrapped
from pipelines.runs.late import age_of_lists

#: Below the artefact root: a line for every automatic decision, and for every release that became live.
DECISIONS = "decisions.jsonl"
_FREE_SHARE, _FREE_GB = 0.05, 2.0
_USED_SHARE = 0.9


def servers_run(patient: Patient) -> Diagnosis:
    """Whether PostgreSQL and Redis answer."""
    cure = "`make up`, or start the servers that DATABASE_URL and REDIS_URL name; logs lie in MATCHBOOK_HOME/logs"
    title, where = "PostgreSQL or Redis does not answer", str(patient.settings.home)
    silent = _silent(patient) if patient.running else [f"the embedded servers of {where} do not run"]
    return answered("servers", title, bool(silent), "; ".join(silent) or "both answer", cure, {"home": where})


def _silent(patient: Patient) -> list[str]:
    """What each server that does not answer says."""
    found = []
    try:
        with transaction(engine(patient.settings)) as connection:
            connection.execute(statement("SELECT 1"))
    except MatchbookError as error:
        found.append(str(error))
    try:
        with wrapped("asking whether it is there"):
            connect(patient.settings).ping()
    except MatchbookError as error:
        found.append(str(error))
    return found


def disk_space(patient: Patient) -> Diagnosis:
    """Whether another build has room on the disk of the artefacts."""
    cure = (
        "free some space; [releases] keep_on_disk says how many builds are kept, `retire_old_artifacts` deletes "
        "the others"
    )
    folder = patient.settings.artifacts if patient.settings.artifacts.exists() else patient.settings.home
    if not folder.exists():
        return unknown("disk", "The disk is nearly full", f"{folder} is not there yet", cure)
    space = shutil.disk_usage(folder)
    share, free_gb = space.free / space.total, space.free / 1e9
    figures = {"free_gb": round(free_gb, 1), "free_share": round(share, 4)}
    return answered(
        "disk",
        "The disk is nearly full",
        share < _FREE_SHARE or free_gb < _FREE_GB,
        f"{free_gb:,.1f} GB free, {share:.0%} of the disk",
        cure,
        figures,
    )


def redis_memory(patient: Patient) -> Diagnosis:
    """Whether Redis comes near to what it may use."""
    title, cure = (
        "Redis is nearly full",
        (
            "more memory for Redis (maxmemory, MATCHBOOK_REDIS_BUDGET_MB), fewer builds "
            "([releases] keep_in_redis), shorter lists ([lists] depth)"
        ),
    )
    if not patient.running:
        return unknown("memory", title, "Redis does not run here", cure)
    with wrapped("measuring Redis"):
        used, limit, whose = budget_of(patient.settings, connect(patient.settings))
    figures = {"used_mb": round(used / MB, 1), "limit_mb": round(limit / MB, 1), "by": whose}
    if not limit:
        return unknown("memory", title, f"{used / MB:,.0f} MB used, {whose}", cure)
    return answered(
        "memory",
        title,
        used > _USED_SHARE * limit,
        f"{used / MB:,.0f} of {limit / MB:,.0f} MB used ({whose})",
        cure,
        figures,
    )


def redis_fits(patient: Patient) -> Diagnosis:
    """Whether Redis is new enough, no cluster, and throws nothing away when it is full."""
    title = "Redis does not fit"
    cure = "another server in REDIS_URL, or `CONFIG SET maxmemory-policy noeviction` (docs/operating.md, Redis)"
    if not patient.running:
        return unknown("redis", title, "Redis does not run here", cure)
    with wrapped("asking Redis about itself"):
        info = about(connect(patient.settings))
    if not info:
        return unknown("redis", title, "INFO is not allowed here", cure)
    wrong = [told for told in (unfit(info), evicting(info)) if told]
    figures = {name: info.get(name) for name in ("redis_version", "valkey_version", "maxmemory_policy", "maxmemory")}
    return answered("redis", title, bool(wrong), "; ".join(wrong) or "it does", cure, figures)


def lists_are_late(patient: Patient) -> Diagnosis:
    """Whether lists are live, and made lately."""
    title = "No lists are live, or they are old"
    cure = (
        "see what the last runs of build_recommendations say in Airflow; `python -m pipelines build` makes new "
        "ones, `python -m pipelines promote <release>` shows stored ones"
    )
    if not patient.running:
        return unknown("lists", title, "the servers do not run here", cure)
    age = age_of_lists(patient.settings, patient.at)
    if age.release is None:
        return answered("lists", title, True, "no release is live", cure, age.to_json())
    says = age.late or f"{age.release} is live, made {age.age_hours:.1f} h ago"
    return answered("lists", title, bool(age.late), says, cure, age.to_json())


def half_loaded(patient: Patient) -> Diagnosis:
    """Whether a publisher that was killed left keys behind."""
    title = "Half-loaded lists in Redis"
    cure = "nothing reads them; the next publish, promote or rollback removes them"
    if not patient.running:
        return unknown("loading", title, "Redis does not run here", cure)
    with wrapped("looking for half-loaded keys"):
        client, keys = connect(patient.settings), Keys(patient.settings.namespace)
        live = live_release(client, keys)
        refreshed = {live.replaces} if live else set()  # goes with the next publish
        left = sorted({decoded(v) for v in client.smembers(keys.loading)} - refreshed)
        busy = bool(client.exists(keys.publisher))
    figures = {"releases": left, "publisher_at_work": busy}
    whose = "a publisher is at work" if busy else "left by a publisher that was killed"
    says = f"{', '.join(left)}: {whose}" if left else "none"
    return answered("loading", title, bool(left) and not busy, says, cure, figures)


def gate_said(patient: Patient) -> Diagnosis:
    """What the gate decided last."""
    title = "The gate holds a release back"
    cure = (
        "read the report of that build (Airflow, its run, tab Report); answer there where a person is asked, or "
        "make the release live all the same with the parameter `force` or `python -m pipelines promote <release>`"
    )
    last = _last_decision(patient, "gate", "approval")
    if last is None:
        return unknown("gate", title, "the gate has decided nothing yet", cure)
    reasons = "; ".join(map(str, last.get("reasons") or ()))
    says = f"{last.get('at')}: {last.get('verdict')}" + (f", because {reasons}" if reasons else "")
    return answered("gate", title, last.get("verdict") in ("stop", "ask", "hold"), says, cure, last)


def _last_decision(patient: Patient, *what: str) -> dict[str, Any] | None:
    path = patient.artifacts.root / DECISIONS
    for line in reversed(path.read_text().splitlines() if path.is_file() else []):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("what") in what:
            return found
    return None
