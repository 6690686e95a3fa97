"""List releases with their state, and show one."""

from __future__ import annotations

import re

from models.settings.settings import Settings
from pipelines.publish.history import rollback
from tests.serving.conftest import Publish, Start
from tests.serving.console.kept import build, keep


def test_releases_are_listed_with_their_state_the_newest_first(
    start: Start, publish: Publish, settings: Settings
) -> None:
    first, second = publish(day=10), publish(day=11)
    keep(settings, build(second, 11), build("20200401T000000Z-aaaaaaaa", 1, verdict="stop"))
    page = start().test_client().get("/releases").text
    rows = re.findall(r"<tr.*?</tr>", page.partition("<tbody>")[2], re.DOTALL)
    assert [next(r for r in (second, first, "20200401T000000Z-aaaaaaaa") if r in row) for row in rows] == [
        second,
        first,
        "20200401T000000Z-aaaaaaaa",
    ]
    assert ">live<" in rows[0] and ">loaded<" in rows[1] and ">stored<" in rows[2] and ">stopped<" in rows[2]
    assert f'href="/actions/promote/{first}"' in rows[1] and 'href="/actions/rollback"' in rows[0]


def test_one_release_with_its_facts(start: Start, publish: Publish, settings: Settings) -> None:
    release = publish()
    keep(settings, build(release, 10))
    client = start().test_client()
    page = client.get(f"/releases/{release}").text
    assert release in page and "no check failed" in page and "0.410" in page and "Roll back" in page
    missing = client.get("/releases/none")
    assert missing.status_code == 404 and "/releases lists them" in missing.text


def test_without_a_release_the_list_leads_to_a_build(start: Start) -> None:
    assert 'href="/actions/build"' in start().test_client().get("/releases").text


def test_a_rollback_shows_at_once(start: Start, publish: Publish, settings: Settings) -> None:
    first, _ = publish(day=10), publish(day=11)
    client = start().test_client()
    rollback(settings)
    rows = re.findall(r"<tr.*?</tr>", client.get("/releases").text, re.DOTALL)
    assert [">live<" in row for row in rows if first in row] == [True]
