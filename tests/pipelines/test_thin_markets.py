"""Markets that lack a role, its people or its lists: each builds again, is compared, refreshed, served and checked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from models.schema import LIST_KINDS, Surface
from models.settings.settings import Settings
from pipelines.doctor.doctor import diagnose
from pipelines.gate.compare import compare_releases
from pipelines.ingest.ingest import import_folder
from pipelines.list_files import export_lists
from pipelines.publish.history import rollback
from pipelines.refresh.refresh import refresh
from pipelines.run_build import run_build
from pipelines.store.artifacts import Artifacts
from pipelines.store.target import Target
from serving.app import create_app
from tests.console_pages import PAGES
from tests.databases import execute
from tests.marketplace.small import SMALL
from tests.marketplace.tiny import AFTER_ALL, identity, write_tiny_marketplace

WEEK, MINUTE = timedelta(days=7), timedelta(minutes=1)
ONE = f"'{identity('user', 23)}'"
#: What happens to the platform's rows before the first build, and between both.
MARKETS = {
    "only investors": ("UPDATE users SET role = 'investor'", ""),
    "only developers": ("UPDATE users SET role = 'developer'", ""),
    "investors come later": (
        "UPDATE users SET role = 'developer'",
        f"UPDATE users SET role = 'investor' WHERE id = {ONE}",
    ),
    "all investors go": ("", "UPDATE users SET opted_out_at = '2024-04-29' WHERE role = 'investor'"),
    "one person": (f"DELETE FROM user_interactions WHERE user_id <> {ONE}; DELETE FROM users WHERE id <> {ONE}", ""),
    "nobody known before": (f"DELETE FROM user_interactions WHERE created_at < '2024-04-20' AND user_id <> {ONE}", ""),
}


@pytest.mark.parametrize("market", MARKETS)
def test_a_thin_market_builds_twice_and_is_served(settings: Settings, tmp_path: Path, market: str) -> None:
    first, between = MARKETS[market]
    settings = settings.layered(SMALL | {"ranker_cuts": 1}, "given")
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    for statement in filter(None, first.split(";")):
        execute(settings, statement)
    older = run_build(settings, as_of=AFTER_ALL - WEEK, force=True)["release"]
    if between:
        execute(settings, between)
    newer = run_build(settings, as_of=AFTER_ALL, force=True)["release"]
    artifacts = Artifacts(settings)
    compared = compare_releases(settings, artifacts.release(older), artifacts.release(newer))
    assert set(compared["surfaces"]) == {kind.value for kind in LIST_KINDS}
    execute(
        settings,
        "INSERT INTO user_interactions VALUES (:u, :s, 'like', :at)",
        u=identity("user", 23),
        s=identity("startup", 4),
        at=AFTER_ALL + MINUTE,
    )
    assert refresh(settings, "refresh", AFTER_ALL + 2 * MINUTE)["published"]
    assert export_lists(settings, artifacts.release(newer), Target(str(tmp_path / "files")), "parquet")
    app = create_app(settings)
    client = app.test_client()
    for kind in LIST_KINDS:
        owners = [identity("user", 23), identity("startup", 4), *["popular"] * isinstance(kind, Surface)]
        assert {client.get(f"/api/recommendations/{kind}/{owner}").status_code for owner in owners} == {200}
    assert {page: client.get(page).status_code for page in PAGES} == dict.fromkeys(PAGES, 200)
    mix = client.get("/").get_data(as_text=True).partition('id="mix"')[2].partition("</section>")[0]
    assert mix.count("<h3>") == mix.count("%</p>"), "a surface without lists has no shares"
    app.extensions["matchbook"].close()
    assert rollback(settings).release == older
    assert diagnose(settings, AFTER_ALL + WEEK, running=False)
