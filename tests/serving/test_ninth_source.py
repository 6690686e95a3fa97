"""Serve a release with a ninth source, whose lists need two bytes of bits per place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from models import registry
from models.data.bundle import Bundle
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import decode_list, encode_lists
from models.recommender.surface import open_recommender
from models.schema import Entity, Role, Surface
from models.settings.settings import Settings
from tests.marketplace.data import fitted
from tests.marketplace.world import World
from tests.newest_first import newest_first
from tests.serving.conftest import SMALL, _scored

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
Scored = dict[Surface, tuple[RankedLists, RankedLists]]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Register the toy model while the tests of this file run. Yield its name."""
    with newest_first(tmp_path_factory.mktemp("models")) as spec:
        yield spec.name


@pytest.fixture(scope="module")
def scored(toy: str, planted: World, bundles: dict[str, Bundle]) -> Iterator[Scored]:
    """Make lists with the toy model too. Its bundle is in the release."""
    settings = Settings().layered(SMALL, "given")
    found = fitted(toy, planted.interactions, settings)
    bundles[found.name] = found
    yield {s: _scored(open_recommender(s, bundles, settings), planted, settings.lists.depth) for s in Surface}
    del bundles[found.name]


@pytest.fixture
def client(toy: str, rows: str, publish: Callable[..., str], start: Callable[..., Flask]) -> FlaskClient:
    publish()
    return start().test_client()


@pytest.fixture
def owner(person: Callable[[Role, int], str]) -> str:
    return person(Role.DEVELOPER, 4)


def test_only_lists_with_the_new_source_are_wide(toy: str, scored: Scored) -> None:
    bit = registry.source(toy).bit
    for surface, both in scored.items():
        for lists in both:
            for i, value in enumerate(encode_lists(lists)):
                source = lists.source[lists.row(i)]
                assert value[0] == (4 if (source & bit).any() else 3)
                assert decode_list(value).source.tolist() == source.tolist()
                assert surface.owner is Entity.USER or value[0] == 3


def test_an_answer_names_the_ninth_source_and_says_why(toy: str, client: FlaskClient, owner: str) -> None:
    body = client.get(f"/api/recommendations/{SURFACE}/{owner}?limit=20").get_json()
    places = [place for place in body["startups"] if toy in place["sources"]]
    assert places and body["source"] == "cache"
    assert any("came a short while ago" in place["reasons"] for place in places)
    assert all("came a short while ago" in place["reasons"] for place in places if place["sources"] == [toy])


def test_the_page_and_the_description_of_the_api_know_it(toy: str, client: FlaskClient, owner: str) -> None:
    assert client.get("/api/releases").get_json()["sources"][toy] == "newest"
    schemas = client.get("/openapi.json").get_json()["components"]["schemas"]
    assert toy in schemas["Source"]["enum"]
    told = client.get(f"/api/explain/{SURFACE}/{owner}").get_json()
    assert all(toy in place["scaled"] for place in told["list"])


def test_all_other_sources_are_labelled_too(client: FlaskClient) -> None:
    labels = client.get("/api/releases").get_json()["sources"]
    assert labels == {source.name: source.label for source in registry.sources()}
