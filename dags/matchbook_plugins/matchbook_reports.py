"""Reports of builds in Airflow's UI: a tab on the page of a run, and a page of all reports in the menu.

Read-only. A user who may see a DAG's runs in Airflow may see its reports, in the same session.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/matchbook"
BUILD = "build_recommendations"
#: Our pages load nothing, run no script, and are shown only in frames of Airflow.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def reports_app() -> Any:
    """Return the app with the pages below PREFIX. Users without a session are sent to Airflow's log-in."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

    app = FastAPI(title="Matchbook reports", docs_url=None, redoc_url=None, openapi_url=None)
    of_run = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
    of_builds = Depends(requires_access_dag("GET", DagAccessEntity.RUN, BUILD))

    def page(text: str) -> Any:
        return HTMLResponse(text, headers=HEADERS)

    @app.get("/runs/{dag_id}/{run_id:path}", response_model=None, dependencies=[of_run])
    def run(dag_id: str, run_id: str) -> Any:
        from models.run_directory import directory_of
        from pipelines.report.store import page_of

        return page(page_of(_settings(directory_of(run_id, dag_id)), dag_id, run_id))

    @app.get("/reports", response_model=None, dependencies=[of_builds])
    def index() -> Any:
        from pipelines.report.store import index_page

        return page(index_page(_settings()))

    @app.get("/reports/{release}", response_model=None, dependencies=[of_builds])
    def report(release: str) -> Any:
        from pipelines.report.store import page_of_release

        found = page_of_release(_settings(), release)
        if found is None:
            raise HTTPException(404, f"no report of {release} is stored")
        return page(found)

    @app.get("/reports/{release}/report.json", response_model=None, dependencies=[of_builds])
    def figures(release: str) -> Any:
        from pipelines.report.store import figures_of_release

        found = figures_of_release(_settings(), release)
        if found is None:
            raise HTTPException(404, f"no report of {release} is stored")
        return JSONResponse(found, headers=HEADERS)

    @app.exception_handler(401)
    def log_in(request: Any, _: Exception) -> Any:
        return RedirectResponse(f"{get_auth_manager().get_url_login()}?next={quote(str(request.url))}", 307)

    return app


def _settings(run: str = "") -> Any:
    """Fetch reports of other machines and one run's staging, then return the settings."""
    from models.errors import ServiceError
    from models.settings.settings import Settings
    from pipelines.store.mirror import pull_loose

    settings = Settings.from_env()
    with suppress(ServiceError):  # then show the local files
        pull_loose(settings, run)
    return settings


class MatchbookReports(AirflowPlugin):
    """The plugin. Airflow's API server makes the pages on request; tasks never do."""

    name = "matchbook_reports"
    external_views = [  # noqa: RUF012  Airflow reads lists
        {
            "name": "Report",
            "href": f"{PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "matchbook_report",
        },
        {
            "name": "Build reports",
            "href": f"{PREFIX}/reports",
            "destination": "nav",
            "category": "browse",
            "url_route": "matchbook_reports",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # Airflow declares a list
        return [{"app": reports_app(), "url_prefix": PREFIX, "name": "Matchbook reports"}]
