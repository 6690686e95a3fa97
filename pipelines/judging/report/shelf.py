"""Which report belongs where: the page of any run, finished or not, and the page that lists all builds' reports."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from models.errors import MatchbookError
from models.schema import Surface
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.judging.report.figure_names import SERVED
from pipelines.judging.report.kept import GATE, page_of_run, read_json, reports
from pipelines.judging.report.page import page
from pipelines.judging.report.spent import spent_of
from pipelines.judging.report.tables import cell
from pipelines.judging.report.verdict import verdict_of
from pipelines.release.cache import current_release
from pipelines.runs.run import directory_of
from pipelines.runs.steps import steps_of


def page_of(settings: Settings, dag: str, run_id: str) -> str:
    """The report of an Airflow run; while there is none, what its steps have left so far."""
    name = directory_of(run_id, dag)
    return page_of_run(settings, name) or _so_far(settings, dag, run_id, name)


def _so_far(settings: Settings, dag: str, run_id: str, name: str) -> str:
    """Steps and the gate's verdict of a run that has not come to its report, or never will."""
    directory = settings.artifacts / "runs" / name
    steps, gate = steps_of(directory), read_json(directory / GATE)
    told = (
        "Its steps so far: the report is written once the lists are stored."
        if steps
        else "It left no report: builds do, once their lists are stored, and keep it as long as their release."
    )
    head = f"<h1>{escape(dag)}</h1><p>{escape(run_id)}</p><p>{told}</p>"
    return page(f"{dag} {run_id}", [head, verdict_of(gate) if gate else "", spent_of(steps)])


def shelf_page(settings: Settings) -> str:
    """Every report that is kept, newest cutoff first, the live release marked."""
    live = _live(settings)
    lines = "".join(_line(told, told["release"] == live) for told in reports(settings))
    if not lines:
        return page("Build reports", ["<h1>Build reports</h1><p>No build has left a report yet.</p>"])
    head = "".join(f'<th scope="col">{h}</th>' for h in ("release", "cutoff", "state", *map(str, Surface), ""))
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Reports"><table><caption>NDCG@10 of what is '
        "served, with 95% intervals; a cutoff has hold-outs of its own</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
    return page("Build reports", ["<h1>Build reports</h1>", table])


def _line(told: Mapping[str, Any], live: bool) -> str:
    release, gate = escape(str(told["release"]), quote=True), told.get("gate") or {}
    surfaces = (told.get("evaluation") or {}).get("surfaces") or {}
    worth = "".join(f"<td>{escape(_served(surfaces.get(str(s)) or {}))}</td>" for s in Surface)
    state = escape(", ".join(filter(None, ("live" if live else "", str(gate.get("verdict") or "")))))
    return (
        f'<tr{" class=marked" if live else ""}><th scope="row"><a href="reports/{release}">{release}</a></th>'
        f"<td>{escape(str(told['as_of']))}</td><td>{state}</td>{worth}"
        f'<td><a href="reports/{release}/report.json">JSON</a></td></tr>'
    )


def _served(surface: Mapping[str, Any]) -> str:
    served = ((surface.get("models") or {}).get(SERVED) or {}).get("overall")
    return cell(served["ndcg"], 3) if served else "–"


def _live(settings: Settings) -> str | None:
    """The build that is live, refreshed or not; None where none is, or where Redis does not say."""
    try:
        live = current_release(settings)
        return Artifacts(settings).release(live).build if live else None
    except MatchbookError:
        return None
