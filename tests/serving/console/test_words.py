"""Technical words of the pages are explained once, and every link to an explanation has one."""

from __future__ import annotations

import re

from models import registry
from models.schema import LIST_KINDS, Method, Role, Segment, Similar
from models.settings.settings import Settings
from serving.console.words import KNOWN, plain
from tests.serving.conftest import Person, Publish, Start
from tests.serving.console.kept import build, engagement, keep


def test_every_method_segment_and_model_is_explained() -> None:
    labels = {source.name if source.name in KNOWN else source.label for source in registry.sources()}
    assert {*Method, *Segment} <= KNOWN and labels <= KNOWN


def test_a_kind_of_list_is_said_in_words() -> None:
    assert [plain(kind.value) for kind in LIST_KINDS[:3]] == [
        "Startups for developers",
        "Startups for investors",
        "Developers for startups",
    ]
    assert [plain(kind) for kind in Similar] == ["Similar startups", "Similar people"]


def test_pages_link_words_to_their_explanation_and_name_lists_in_words(
    publish: Publish, rows: str, start: Start, settings: Settings, person: Person
) -> None:
    release = publish()
    keep(settings, build(release, 10), earnings=engagement())
    client = start().test_client()
    anchors = set(re.findall(r'id="([^"]+)"', client.get("/words").text))
    linked = set[str]()
    for path in ("/", "/releases", f"/releases/{release}", "/people", f"/people/{person(Role.DEVELOPER, 4)}"):
        page = client.get(path).text
        linked |= set(re.findall(r'href="/words#([^"]+)"', page))
        shown = re.sub(r"<[^>]+>", " ", page)
        assert not re.findall("|".join(re.escape(kind.value) for kind in LIST_KINDS), shown), path
    assert {"gate", "ndcg-10", "95--interval", "segment", "route", "method", "als", "conversion"} <= linked <= anchors
