"""Compare regions, facet codes, and the places of two entities."""

from __future__ import annotations

import numpy as np

from models.data.profile_text import text_of
from models.features.location import LocationMatch, coded, codes_in, there, within
from models.schema import Entity
from tests.models.features.market_by_hand import PLACES, entities, interactions, later, owners, people, startups


def test_a_place_lies_in_its_last_parts() -> None:
    assert within("Pittsburgh, PA, USA", 2) == "pa, usa"
    assert within("Pittsburgh, PA, USA", 1) == "usa"
    assert within("Basel", 2) == "basel"


def test_values_are_those_of_who_is_there() -> None:
    codes, values = coded(startups(last="zeppelins"))["category"]
    assert values == ("bio", "games") and codes.tolist() == [1, 1, 0, -1]
    codes, values = coded(later(startups(last="zeppelins")))["category"]
    assert values == ("bio", "games", "zeppelins") and codes.tolist() == [1, 1, 0, 2]


def test_who_was_met_is_there_whether_or_not_they_may_be_shown() -> None:
    withdrawn = entities(Entity.STARTUP, interactions().transposed(), [0] * 4, [False] * 4)
    assert there(withdrawn).tolist() == [True, True, True, False]


def test_two_places_of_one_country_share_its_code() -> None:
    codes, values = coded(startups())["country"]
    assert values == ("switzerland", "usa") and codes.tolist() == [1, 1, 0, -1]


def test_codes_in_other_numbers() -> None:
    assert codes_in(("games", "bio"), startups(), "category").tolist() == [0, 0, 1, -1]
    assert codes_in(("games",), startups(), "category").tolist() == [0, 0, -1, -1]
    assert codes_in(("pa, usa",), startups(), "region").tolist() == [0, 0, -1, -1]
    assert codes_in((), startups(), "field").tolist() == [-1] * 4


def pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(n), 4), np.tile(np.arange(4), n)


def test_same_place_by_hand() -> None:
    """People in Pittsburgh, in the USA, in Zug and nowhere. Startups in Pittsburgh, Philadelphia, Basel and nowhere."""
    found = LocationMatch.from_entities(people(), startups(), np.arange(4)).columns(
        owners([0, 1, 2, 3], interactions()), *pairs(4)
    )

    rows = {name: column.of().reshape(4, 4).astype(int).tolist() for name, column in found.items()}
    nothing = [0, 0, 0, 0]
    assert rows["same_location"] == [[1, 0, 0, 0], nothing, nothing, nothing]
    assert rows["same_region"] == [[1, 1, 0, 0], nothing, nothing, nothing]
    assert rows["same_country"] == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], nothing]


def test_the_text_of_an_unseen_owner_has_the_form_of_an_entity() -> None:
    """A user who is new since the build is compared by profile text, like all others."""
    places = LocationMatch.from_entities(people(), startups(), np.arange(4))
    known = owners([0, 1, 2, 3], interactions())
    homes = ("Pittsburgh, PA, USA", "USA", "Zug, Switzerland", "")
    strange = owners([-1] * 4, interactions(), tuple(text_of({"location": home}) for home in homes))

    for name, column in places.columns(known, *pairs(4)).items():
        assert np.array_equal(column.of(), places.columns(strange, *pairs(4))[name].of()), name


def test_blank_words_leave_the_entity_as_it_is() -> None:
    places = LocationMatch.from_entities(people(), startups(), np.arange(4))
    plain, told = owners([0, 1], interactions()), owners([0, 1], interactions(), ("", ""))

    for name, column in places.columns(plain, *pairs(2)).items():
        assert np.array_equal(column.of(), places.columns(told, *pairs(2))[name].of())


def test_nobody_states_a_place() -> None:
    nowhere = entities(Entity.STARTUP, interactions().transposed(), [0] * 4, [True] * 4)
    found = LocationMatch.from_entities(people(), nowhere, np.arange(4)).columns(owners([0], interactions()), *pairs(1))

    assert {name: column.of().tolist() for name, column in found.items()} == {
        f"same_{name}": [0.0] * 4 for name in ("location", "region", "country")
    }
    assert len(PLACES) == 4
