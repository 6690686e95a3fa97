"""List releases with their state, and show one."""

from __future__ import annotations

import re

import pytest

from models.settings.settings import Settings
from pipelines.publish.history import rollback
from tests.serving.conftest import Publish, Start
from tests.serving.console.kept import build, keep, words


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
    assert f'href="/actions/promote/{first}"' in rows[1] and "promote" not in rows[0]


def test_one_release_with_its_facts(start: Start, publish: Publish, settings: Settings) -> None:
    release = publish()
    keep(settings, build(release, 10))
    client = start().test_client()
    page = client.get(f"/releases/{release}").text
    assert release in page and "no check failed" in page and "0.410" in page and "Compare with" in page
    missing = client.get("/releases/none")
    assert missing.status_code == 404 and "Releases above lists them." in missing.text


def test_without_a_release_the_list_leads_to_a_build(start: Start) -> None:
    assert 'href="/actions/build"' in start().test_client().get("/releases").text


@pytest.mark.parametrize("path", ["/", "/releases", "/actions"])
def test_the_way_back_is_named_and_a_way_forward_is_called_promote(
    start: Start, publish: Publish, settings: Settings, path: str
) -> None:
    first, second = publish(day=10), publish(day=11)
    client = start().test_client()
    assert f"Roll back to {first} 1 d older" in words(client.get(path).text)
    rollback(settings, by="ada")
    said = words(client.get(path).text)
    assert f"Promote {second} 1 d newer" in said and "Roll back to" not in said


def test_the_only_build_has_no_way_back(start: Start, publish: Publish) -> None:
    release = publish()
    client = start().test_client()
    for path in ("/", "/actions", "/releases", f"/releases/{release}"):
        page = client.get(path).text
        assert "Nothing to roll back to yet" in page and "/actions/rollback" not in page, path
    page = words(client.get("/actions/rollback").text)
    assert (
        f"{release} is the only build that was live" in page and "Start a build" in page and "will happen" not in page
    )


def test_who_made_a_release_live_is_shown(start: Start, publish: Publish, settings: Settings) -> None:
    first, second = publish(day=10), publish(day=11)
    client = start().test_client()
    assert "newest cutoff" in words(client.get(f"/releases/{second}").text)
    rollback(settings, by="console, by key ada")
    again = start().test_client()
    for path in ("/", f"/releases/{first}"):
        assert re.search(r"Went live [0-9: -]+ UTC, rolled back by console, by key ada", words(again.get(path).text)), (
            path
        )


def test_a_rollback_shows_at_once(start: Start, publish: Publish, settings: Settings) -> None:
    first, _ = publish(day=10), publish(day=11)
    client = start().test_client()
    rollback(settings)
    rows = re.findall(r"<tr.*?</tr>", client.get("/releases").text, re.DOTALL)
    assert [">live<" in row for row in rows if first in row] == [True]
