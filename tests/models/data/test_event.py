"""Encode one event as posted, in the stream, and in the since hashes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.event import AHEAD, Event
from models.errors import MalformedEvent
from models.lists.redis_format import OWN, since_meaning, since_value
from models.schema import EventType
from tests.paths import GOLDEN

GOLDEN_FILE = GOLDEN / "event_1.json"
NOW = datetime(2024, 5, 1, 14, 0, tzinfo=UTC)
AT = datetime(2024, 5, 1, 13, 59, 1, 250, UTC)
EVENT = Event("9b2e/7", str(UUID(int=1)), str(UUID(int=2)), EventType.DISMISS, AT)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_formats_of_earlier_versions_are_still_read() -> None:
    stored = json.loads(GOLDEN_FILE.read_text())
    assert Event.read(stored["entry"], NOW) == EVENT
    assert EVENT.entry() == stored["entry"]
    value = bytes.fromhex(stored["since"])
    assert since_value(EVENT.kind.code, EVENT.at_us) == value
    assert since_meaning(value) == (EventType.DISMISS.code, EVENT.at_us)


def test_stored_codes_stay_and_no_kind_is_own() -> None:
    assert {t.value: t.code for t in EventType}.items() >= {
        "view": 0,
        "click": 1,
        "like": 2,
        "dislike": 3,
        "favorite": 4,
        "apply": 5,
        "interest": 6,
        "impression": 7,
        "dismiss": 8,
        "retract": 9,
    }.items()
    assert all(t.code < 128 and t.code != OWN for t in EventType)


@given(
    st.builds(
        Event,
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128),
        st.uuids().map(str),
        st.uuids().map(str),
        st.sampled_from(EventType),
        st.integers(0, int((NOW + AHEAD).timestamp())).map(lambda s: datetime.fromtimestamp(s, UTC)),
        st.just("") | st.from_regex("[A-Za-z0-9_-]{30,240}", fullmatch=True),
        st.integers(0, 1000),
    )
)
def test_an_entry_is_read_back(event: Event) -> None:
    assert Event.of_entry(event.entry(), NOW) == event


@given(ANYTHING | st.fixed_dictionaries({}, optional=dict.fromkeys(EVENT.entry(), ANYTHING)))
def test_any_input_is_an_event_or_refused_with_an_error(given_: Any) -> None:
    try:
        Event.read(given_, NOW)
    except MalformedEvent as error:
        assert error.expected and error.hint


@given(st.sampled_from(list(EVENT.entry())), ANYTHING)
def test_one_wrong_field_is_the_one_that_is_named(field: str, value: Any) -> None:
    try:
        Event.read({**EVENT.entry(), field: value}, NOW)
    except MalformedEvent as error:
        assert error.field == field


def test_without_a_time_it_is_that_of_receipt_and_without_a_zone_it_is_utc() -> None:
    entry = EVENT.entry()
    assert Event.read({**entry, "at": None}, NOW).at == NOW
    assert Event.read({**entry, "at": "2024-05-01T13:00:00"}, NOW).at == datetime(2024, 5, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "taken"),
    [
        (NOW + AHEAD, True),
        (NOW + AHEAD + timedelta(microseconds=1), False),
        (datetime(1970, 1, 1, tzinfo=UTC), True),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), False),
    ],
)
def test_the_future_and_times_before_1970_are_refused(at: datetime, taken: bool) -> None:
    entry = {**EVENT.entry(), "at": at.isoformat()}
    if taken:
        assert Event.read(entry, NOW).at == at
    else:
        with pytest.raises(MalformedEvent, match="since 1970 and before 2024-05-01T14:05:00"):
            Event.read(entry, NOW)
