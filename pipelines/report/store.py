"""Store the report of a build: written before the gate asks, updated later, kept with the release.

runs/<run>/report.html, report.json             in the run's staging
reports/<release>/report.html, report.json      a copy, until the release is retired
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from models.errors import MatchbookError, ReleaseError
from models.run_directory import directory_of
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.redis_client import current_release
from pipelines.refs import BuildRef, GateRef, ReportRef
from pipelines.report.data import data_facts
from pipelines.report.evaluation import build_report
from pipelines.report.figure_names import SERVED
from pipelines.report.html import cell, exchanged, page, section
from pipelines.report.sections import gate_section, timings_section
from pipelines.report.summary import keep_summary
from pipelines.run.run import Run
from pipelines.run.timings import step, steps_of
from pipelines.store.artifacts import Artifacts, write_private

REPORTS, PAGE, FIGURES = "reports", "report.html", "report.json"
#: Files of other steps: gate and evaluation in the run's staging, engagement below the artefact root.
GATE, EARNINGS = "gate.json", "earnings.json"
EVALUATION, EVALUATION_PAGE = "evaluation.json", "evaluation.html"
#: Layout of report.json.
FORMAT = 1


def write_report(run: Run, build: BuildRef, weighed: GateRef, publish: bool) -> ReportRef:
    """Gather everything known about a build, and write its page and JSON.

    publish: False for a dry run. Page and JSON omit parts that no step wrote. Raises ReleaseNotFound, and DataError if
    inputs of the build are missing.
    """
    told, drawn = gathered(run, weighed.release, build.snapshot, not publish), run.directory / EVALUATION_PAGE
    models = section(drawn.read_text(), "models") if drawn.is_file() else None
    _place(run.settings, run.directory, told, build_report(told, models))
    gate = told["gate"] or {}
    page_file = _folder(run.settings.artifacts, weighed.release) / PAGE
    return ReportRef(str(page_file), weighed.release, gate.get("verdict"), list(gate.get("reasons") or ()))


def gathered(run: Run, release: str, snapshot: str, dry_run: bool) -> dict[str, Any]:
    """Return the content of report.json; see docs/guides/reports.md."""
    manifest, gate = run.artifacts.release(release), read_json(run.directory / GATE)
    before = read_json(_folder(run.settings.artifacts, release) / FIGURES) or {}
    return {
        "format": FORMAT,
        "release": release,
        "as_of": manifest.as_of,
        "generated_at": manifest.generated_at,
        "snapshot": snapshot,
        "run": run.id,
        "dry_run": dry_run and before.get("dry_run", True),  # once published, it is none again
        "overruled": list(run.overruled),
        "runs": [*(r for r in before.get("runs", []) if r != run.id), run.id],
        "code_version": manifest.code_version,
        "bundles": dict(manifest.bundles),
        "lists": {"lists": dict(manifest.lists), "shares": dict(manifest.shares), "bytes": manifest.list_bytes},
        "live_shares": _shares(run.artifacts, (gate or {}).get("champion")),
        "gate": gate,
        "evaluation": read_json(run.directory / EVALUATION),
        "data": data_facts(run, snapshot),
        "earnings": read_json(run.settings.artifacts / EARNINGS),
        "steps": steps_of(run.directory),
    }


def update_report(settings: Settings, directory: Path) -> bool:
    """Add later results (gate decision, time, memory) to a run's report; return False if there is none.

    directory: the run's staging.
    """
    told, path = read_json(directory / FIGURES), directory / PAGE
    if told is None or not path.is_file():
        return False
    told |= {"gate": read_json(directory / GATE), "steps": steps_of(directory)}
    text = exchanged(path.read_text(), "verdict", gate_section(told["gate"]))
    _place(settings, directory, told, exchanged(text, "spent", timings_section(told["steps"])))
    return True


@contextmanager
def measured(settings: Settings, run: str, task: str, index: int | None = None) -> Iterator[None]:
    """Record time and memory of a task in its run's staging, also on failure, and update the run's report.

    Nothing is recorded for a run without a record.
    """
    directory = settings.artifacts / "runs" / run
    with step(directory, task, index):
        yield
    update_report(settings, directory)


def page_of_run(settings: Settings, run: str) -> str | None:
    """Return the page of a run by its staging directory; None without a page or after its release was retired."""
    path = settings.artifacts / "runs" / run / PAGE
    if not path.is_file():
        mine = (told["release"] for told in reports(settings) if run in told.get("runs", ()))
        path = _folder(settings.artifacts, next(mine, "-")) / PAGE
    return path.read_text() if path.is_file() else None


def page_of_release(settings: Settings, release: str) -> str | None:
    path = _stored(settings, release) / PAGE
    return path.read_text() if path.is_file() else None


def figures_of_release(settings: Settings, release: str) -> dict[str, Any] | None:
    return read_json(_stored(settings, release) / FIGURES)


def reports(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield every stored report (report.json), newest cutoff first."""
    for path in reversed(Artifacts(settings).stored(REPORTS)):
        told = read_json(path / FIGURES)
        if told is not None:
            yield told


def retire_reports(artifacts: Artifacts, kept: Iterable[str]) -> list[str]:
    """Remove the reports of removed releases. A release rebuilt after an erasure keeps its report."""
    builds = {release.rsplit("-", 1)[0] for release in kept}
    old = [path for path in artifacts.stored(REPORTS) if path.name.rsplit("-", 1)[0] not in builds]
    for path in old:
        artifacts.remove(REPORTS, path.name)
    return [path.name for path in old]


def _place(settings: Settings, directory: Path, told: Mapping[str, Any], text: str) -> None:
    for folder in (directory, _folder(settings.artifacts, told["release"])):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((PAGE, text), (FIGURES, json.dumps(told, indent=1, sort_keys=True))):
            aside = folder / f".{name}.{uuid.uuid4().hex[:8]}"
            write_private(aside, content)
            aside.rename(folder / name)
    keep_summary(settings, told)


def _folder(artifacts: Path, release: str) -> Path:
    return artifacts / REPORTS / release


def _stored(settings: Settings, release: str) -> Path:
    """Return the folder of a release's report; if none is stored, a path that does not exist."""
    return {path.name: path for path in Artifacts(settings).stored(REPORTS)}.get(release, Path("-"))


def _shares(artifacts: Artifacts, release: str | None) -> dict[str, Any]:
    try:
        return dict(artifacts.release(release).shares) if release else {}
    except ReleaseError:
        return {}


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None if it is missing or unreadable."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def page_of(settings: Settings, dag: str, run_id: str) -> str:
    """Return the report of an Airflow run, or its steps so far."""
    name = directory_of(run_id, dag)
    return page_of_run(settings, name) or _so_far(settings, dag, run_id, name)


def _so_far(settings: Settings, dag: str, run_id: str, name: str) -> str:
    """Render the steps and the gate's verdict of a run without a report."""
    directory = settings.artifacts / "runs" / name
    steps, gate = steps_of(directory), read_json(directory / GATE)
    told = (
        "Its steps so far: the report is written once the lists are stored."
        if steps
        else "It has no report: builds write one once their lists are stored, and it is kept with their release."
    )
    head = f"<h1>{escape(dag)}</h1><p>{escape(run_id)}</p><p>{told}</p>"
    return page(f"{dag} {run_id}", [head, gate_section(gate) if gate else "", timings_section(steps)])


def index_page(settings: Settings) -> str:
    """List every stored report, newest cutoff first; mark the live release."""
    live = _live(settings)
    lines = "".join(_line(told, told["release"] == live) for told in reports(settings))
    if not lines:
        return page("Build reports", ["<h1>Build reports</h1><p>No build has left a report yet.</p>"])
    head = "".join(f'<th scope="col">{h}</th>' for h in ("release", "cutoff", "state", *map(str, Surface), ""))
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Reports"><table><caption>NDCG@10 of what is '
        "served, with 95% intervals; each cutoff has its own hold-out</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
    return page("Build reports", ["<h1>Build reports</h1>", table])


def _line(told: Mapping[str, Any], live: bool) -> str:
    release, gate = escape(str(told["release"]), quote=True), told.get("gate") or {}
    surfaces = (told.get("evaluation") or {}).get("surfaces") or {}
    worth = "".join(f"<td>{escape(_served(surfaces.get(str(s)) or {}))}</td>" for s in Surface)
    where = "live" if live else "from a dry run" if told.get("dry_run") else ""
    state = escape(", ".join(filter(None, (where, str(gate.get("verdict") or "")))))
    return (
        f'<tr{" class=marked" if live else ""}><th scope="row"><a href="reports/{release}">{release}</a></th>'
        f"<td>{escape(str(told['as_of']))}</td><td>{state}</td>{worth}"
        f'<td><a href="reports/{release}/report.json">JSON</a></td></tr>'
    )


def _served(surface: Mapping[str, Any]) -> str:
    served = ((surface.get("models") or {}).get(SERVED) or {}).get("overall")
    return cell(served["ndcg"], 3) if served else "–"


def _live(settings: Settings) -> str | None:
    """Return the live release's build; None if no release is live or Redis does not answer."""
    try:
        live = current_release(settings)
        return Artifacts(settings).release(live).build if live else None
    except MatchbookError:
        return None
