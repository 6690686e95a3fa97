"""Pages of releases: the list, and one release."""

from __future__ import annotations

from flask import Blueprint, abort, render_template

from models.stacked_ranker.scorer import MEAN_OF
from serving.clients.airflow import Airflow
from serving.console.panel import asked
from serving.console.stored import StoredReleases


def release_routes(pages: Blueprint, stored: StoredReleases, airflow: Airflow) -> None:
    """Add /releases and /releases/<id> to the pages."""

    @pages.get("/releases")
    def releases() -> str:
        return render_template("releases.html", found=asked(stored.all), around=asked(stored.around))

    @pages.get("/releases/<name>")
    def release(name: str) -> str:
        found = stored.one(name)
        if found is None:
            abort(404, "No release of this name is stored. Releases above lists them.")
        told = {"went": stored.went_live(name), "means": stored.means(found.manifest), "mean_of": MEAN_OF}
        return render_template("release.html", r=found, around=asked(stored.around), airflow=airflow, **told)
