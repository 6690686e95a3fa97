"""Actions of the console. Each has a page that says what will happen, and becomes a run of a DAG in Airflow.

The run is the record: its note names the key of the person who confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, request

from local.airflow_client import TASK_OVER
from models.errors import RequestError
from models.run_directory import BUILD_DAG, directory_of
from models.schema import Entity
from serving.clients.airflow import Airflow
from serving.clients.postgres import Database
from serving.clients.redis import Cache
from serving.console.builds import run_address, summaries
from serving.console.entities import EntityPages
from serving.console.formats import count, instant
from serving.console.forms import ONCE
from serving.console.panel import asked
from serving.console.stored import StoredReleases
from serving.console.streamed import Panels, streamed
from serving.filters import Hidden
from serving.http.requests import read_id
from serving.lists import OPEN

PROMOTE, ERASE, DRAIN = "promote_release", "erase_person", "drain_events"
#: What people start, in words.
DAGS = {BUILD_DAG: "Build", PROMOTE: "Promote or roll back", ERASE: "Erase", DRAIN: "Read the platform"}
#: Those in the list of recent runs: scheduled runs of DRAIN would hide the others.
SHOWN = (BUILD_DAG, PROMOTE, ERASE)
CHOICES = ("publish", "hold")
GATE_TASK = "release.gate"
RUNS_SHOWN = 10
#: What the page of a run leaves out of a result of `PublishRef`, and other names for what it shows.
UNTOLD = ("bytes_per_list", "redis_bytes_per_list", "needs_mb", "used_mb", "limit_mb", "by")
NAMED = {"published": "made live", "previous": "previous release"}


@dataclass(frozen=True)
class Actions:
    """The parts that actions need."""

    airflow: Airflow
    stored: StoredReleases
    cache: Cache
    entities: EntityPages
    hidden: Hidden
    database: Database


def action_routes(pages: Blueprint, parts: Actions) -> None:
    """Add /actions and its pages."""
    _list(pages, parts)
    _releases(pages, parts)
    _build(pages, parts)
    _gate(pages, parts)
    _erase(pages, parts)
    _opt_out(pages, parts)


def _list(pages: Blueprint, parts: Actions) -> None:
    airflow = parts.airflow

    @pages.get("/actions")
    def actions() -> Response:
        questions, around = asked(airflow.questions), asked(parts.stored.around)
        later = Panels({}, {"recent": lambda: asked(lambda: _recent(airflow))})
        return streamed("actions.html", questions=questions, known=airflow.known, around=around, later=later)

    @pages.get("/actions/runs/<dag>/<path:run_id>")
    def run(dag: str, run_id: str) -> str:
        if dag not in DAGS:
            abort(404)
        found = airflow.run(dag, run_id)
        if found is None:
            abort(404, "Airflow does not know this run. Actions above lists the recent ones.")
        done = sum(t["state"] in TASK_OVER for t in found.tasks)
        at = airflow.run_address(dag, run_id)
        return render_template(
            "run.html", r=found, run=found.about, done=done, result=_told(found.result), at=at, what=DAGS[dag]
        )


def _releases(pages: Blueprint, parts: Actions) -> None:
    @pages.route("/actions/promote/<name>", methods=["GET", "POST"])
    def promote(name: str) -> Response | str:
        release = parts.stored.one(name)
        if release is None:
            abort(404, "No release of this name is stored. Releases above lists them.")
        if request.method == "POST":
            if release.state == "live":
                raise RequestError("live_already", "a release that is not live", name, "nothing was changed")
            _check_unchanged(release.id, "nothing was changed: open the page again")
            return _started(parts.airflow, PROMOTE, {"release": release.id, "force": True, "by": _by()})
        return render_template("promote.html", r=release, around=parts.stored.around(), back=False)

    @pages.route("/actions/rollback", methods=["GET", "POST"])
    def rollback() -> Response | str:
        around = parts.stored.around()
        if request.method == "POST":
            back = around.back.id if around.back else ""
            _check_unchanged(back, "another release went live meanwhile: look again")
            return _started(parts.airflow, PROMOTE, {"release": "previous", "back_to": back, "by": _by()})
        return render_template("promote.html", r=around.back, around=around, back=True)


def _build(pages: Blueprint, parts: Actions) -> None:
    @pages.route("/actions/build", methods=["GET", "POST"])
    def build() -> Response | str:
        if request.method == "POST":
            options, cutoff = _build_options(request.form)
            if cutoff and asked(lambda: parts.database.any_event(cutoff)).found is False:
                expected, got = "a cutoff with an event before it", request.form["as_of"]
                raise RequestError(
                    "malformed_as_of", expected, got, "the platform has none that early: take a later one"
                )
            return _started(parts.airflow, BUILD_DAG, options)
        last = asked(lambda: max(summaries(parts.cache), key=lambda b: b["generated_at"], default=None))
        around = asked(parts.stored.around).found
        return render_template("build.html", last=last.found, live=around.live if around else None)

    @pages.get("/builds/<directory>")
    def build_run(directory: str) -> Response:
        """Lead to the run of a build in Airflow."""
        at = run_address(directory, parts.airflow)
        if not at:
            abort(404, "Airflow lists no run of this build: it was made by command, or Airflow has removed the run.")
        return make_response(redirect(at, 303))


def _gate(pages: Blueprint, parts: Actions) -> None:
    airflow = parts.airflow

    @pages.route("/actions/gate/<path:run_id>", methods=["GET", "POST"])
    def gate(run_id: str) -> Response | str:
        question = airflow.question(run_id)
        if request.method == "POST":
            chosen = request.form.get("chosen", "")
            if chosen not in CHOICES:
                raise RequestError("malformed_choice", " or ".join(CHOICES), chosen, "choose one of them")
            task = question["task_instance"]["task_id"] if question else GATE_TASK
            if question is None or not airflow.answer(run_id, task, chosen, _by()):
                raise RequestError("answered", "a gate that waits", "one that was answered", "see the run in Airflow")
            return _to_run(BUILD_DAG, run_id)
        builds = asked(lambda: summaries(parts.cache)).found or []
        build = next((b for b in builds if b["run"] == directory_of(run_id)), None)
        report = airflow.report_address(build["release"]) if build else ""
        at = airflow.run_address(BUILD_DAG, run_id)
        return render_template("gate.html", question=question, build=build, report=report, at=at, run_id=run_id)


def _erase(pages: Blueprint, parts: Actions) -> None:
    @pages.route("/actions/erase", methods=["GET", "POST"])
    def erase() -> Response | str:
        given = request.values.get("id", "").strip()
        person = read_id(given) if given else ""
        if request.method == "POST":
            if request.form.get("typed", "").strip().lower() != person or not person:
                raise RequestError(
                    "not_confirmed", "the id again", "another text", "go back and type the id to confirm"
                )
            return _started(parts.airflow, ERASE, {"person": person})
        known = parts.entities.known(person) if person else {}
        return render_template(
            "erase.html", person=person, erased=parts.hidden.erased([person] if person else []), **known
        )


def _opt_out(pages: Blueprint, parts: Actions) -> None:
    """Lead to the platform, which owns the column, and show what follows it. Nothing here stores an opt-out."""

    @pages.route("/actions/opt-out", methods=["GET", "POST"])
    def opt_out() -> Response | str:
        if request.method == "POST":
            return _started(parts.airflow, DRAIN, {})
        given = request.args.get("id", "").strip()
        person = read_id(given) if given else ""
        told = parts.entities.opted_out(person) if person else {}
        hidden = bool(person) and parts.hidden.holds(Entity.USER, person)
        return render_template("opt-out.html", person=person, hidden=hidden, **told)


def _started(airflow: Airflow, dag: str, conf: dict[str, Any]) -> Response:
    return _to_run(dag, airflow.trigger(dag, conf, _by(), request.form.get(ONCE, "")))


def _to_run(dag: str, run_id: str) -> Response:
    return make_response(redirect(f"/actions/runs/{dag}/{quote(run_id, safe='')}", 303))


def _by() -> str:
    """Return who confirmed, for the note of the run and the log of releases. Airflow adds the user of the console."""
    return "by key " + g.caller if g.caller != OPEN else "without a key"


def _check_unchanged(release: str, cure: str) -> None:
    """Raises RequestError if another release than the confirmed one would become live, or none."""
    if not release or request.form.get("release", "") != release:
        raise RequestError("changed", "the release of the confirmation", release or "none", cure)


def _build_options(form: Mapping[str, str]) -> tuple[dict[str, Any], datetime | None]:
    """Return the parameters of build_recommendations, and the cutoff, if one was given. Raises RequestError."""
    as_of = form.get("as_of", "").strip()
    options: dict[str, Any] = {"publish": "publish" in form, "fresh": "fresh" in form}
    if not as_of:
        return options, None
    try:
        cutoff = datetime.fromisoformat(as_of)
    except ValueError as error:
        raise RequestError("malformed_as_of", "a date and time", as_of, "leave it out for now") from error
    cutoff = cutoff if cutoff.tzinfo else cutoff.replace(tzinfo=UTC)
    if cutoff > datetime.now(UTC):
        raise RequestError("malformed_as_of", "a time that has passed", as_of, "leave it out for now")
    return options | {"as_of": cutoff.isoformat()}, cutoff


def _recent(airflow: Airflow) -> list[dict[str, Any]]:
    found = sorted(
        airflow.runs(SHOWN, RUNS_SHOWN), key=lambda r: instant(r.get("queued_at") or r["run_after"]), reverse=True
    )
    return [
        {**run, "at": airflow.run_address(run["dag_id"], run["dag_run_id"]), "what": DAGS[run["dag_id"]]}
        for run in found
    ]


def _told(result: Any) -> list[tuple[str, str]]:
    """Return the plain values of a task's result that a person needs: sizes and who decided are elsewhere."""
    if not isinstance(result, dict):
        return []
    plain = {k: v for k, v in result.items() if isinstance(v, str | int | float) and v != "" and k not in UNTOLD}
    return [(NAMED.get(k, k.replace("_", " ")), _text(v)) for k, v in plain.items()]


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return count(value) if isinstance(value, int) else str(value)
