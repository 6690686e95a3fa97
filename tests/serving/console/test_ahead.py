"""The pages of a new process wait for no template."""

from __future__ import annotations

from dataclasses import replace

from models.settings.settings import Settings
from serving.console.ahead import Ahead
from tests.serving.conftest import Publish, Start


def test_all_templates_and_the_catalogue_are_there_before_the_first_page(start: Start, publish: Publish) -> None:
    publish()
    app = start()
    ahead: Ahead = app.extensions["matchbook"].ahead
    ahead.begin().join(60)
    made, cache = app.jinja_env.list_templates(["html"]), app.jinja_env.cache
    assert "entity.html" in made and cache is not None and {name for _, name in cache} >= {*made}
    assert ahead.browser._files._catalogue.cache_info().currsize == 1


def test_a_release_whose_files_are_elsewhere_costs_nothing_else(
    start: Start, publish: Publish, settings: Settings
) -> None:
    publish()
    app = start(replace(settings, artifacts_place=str(settings.home / "elsewhere")))
    app.extensions["matchbook"].ahead.prepare()
    assert app.test_client().get("/people").status_code == 200
