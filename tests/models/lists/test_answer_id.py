"""Make answer ids: content, owner, and protection against reading and forging."""

from __future__ import annotations

import base64
import json
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.keys import ANSWER_KEY, kept_key, key_from
from models.lists.answer_id import SPELT, ShownAnswer
from models.schema import Entity, Method, Surface
from tests.paths import GOLDEN

GOLDEN_FILE = GOLDEN / "answer_id_1.json"
WIDE = GOLDEN_FILE.with_name("answer_id_2.json")
KEY = key_from("a key for these tests")
USER, STARTUP, OTHER = (str(uuid.UUID(int=n << 96 | 7)) for n in (1, 2, 3))
SHOWN = ShownAnswer(
    Surface.STARTUPS_FOR_DEVELOPER,
    Method.ENSEMBLE,
    Method.ALS,
    "20240501T020000Z-3fa92c1b",
    19844,
    True,
    False,
    "blend",
    "3fa9",
    "0.6",
)
names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,39}", fullmatch=True)


def test_an_id_of_an_earlier_version_is_still_read() -> None:
    stored = json.loads(GOLDEN_FILE.read_text())
    assert ShownAnswer.read(stored["answer_id"]) == SHOWN
    assert SHOWN.spell(USER, KEY) == stored["answer_id"]
    assert SHOWN.was_given(stored["answer_id"], USER, STARTUP, KEY)


def test_an_id_of_codes_that_need_more_room_has_the_wide_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Surfaces from 4 and methods from 8 do not fit into format 1. Both formats are read."""
    stored = json.loads(WIDE.read_text())
    for member, code in ((Surface.INVESTORS_FOR_STARTUP, 4), (Method.TWO_TOWER, 9)):
        known = dict(type(member).by_code())
        del known[member.code]
        monkeypatch.setattr(member, "code", code)
        monkeypatch.setattr(type(member), "by_code", lambda known=known | {code: member}: known)
    shown = replace(SHOWN, surface=Surface.INVESTORS_FOR_STARTUP, method=Method.TWO_TOWER, route=Method.TWO_TOWER)
    assert ShownAnswer.read(stored["answer_id"]) == shown
    assert shown.spell(STARTUP, KEY) == stored["answer_id"] and SPELT.fullmatch(stored["answer_id"])
    assert shown.was_given(stored["answer_id"], USER, STARTUP, KEY)
    for small in (replace(shown, surface=Surface.STARTUPS_FOR_DEVELOPER), replace(shown, method=Method.ALS)):
        assert base64.urlsafe_b64decode(small.spell(STARTUP, KEY) + "==")[0] == 2
        assert ShownAnswer.read(small.spell(STARTUP, KEY)) == small
    narrow = json.loads(GOLDEN_FILE.read_text())["answer_id"]
    assert ShownAnswer.read(narrow) == SHOWN


@given(
    st.builds(
        ShownAnswer,
        st.sampled_from(Surface),
        st.sampled_from(Method),
        st.sampled_from(Method),
        st.from_regex(r"[0-9TZ.a-f-]{20,40}", fullmatch=True),
        st.integers(0, 65535),
        st.booleans(),
        st.booleans(),
        names,
        st.from_regex("[0-9a-f]{4}", fullmatch=True),
        names,
    )
)
def test_what_was_written_is_read(shown: ShownAnswer) -> None:
    spelt = shown.spell(USER if shown.surface.owner is Entity.USER else STARTUP, KEY)
    assert SPELT.fullmatch(spelt)
    assert ShownAnswer.read(spelt) == shown and shown.was_given(spelt, USER, STARTUP, KEY)


@pytest.mark.parametrize("surface", list(Surface))
def test_an_id_is_bound_to_its_owner_and_does_not_reveal_them(surface: Surface) -> None:
    """Nobody can read the owner from the id, even with the key of the signature (L07, erasure)."""
    shown = replace(SHOWN, surface=surface)
    owner = USER if surface.owner is Entity.USER else STARTUP
    spelt = shown.spell(owner, KEY)
    raw = base64.urlsafe_b64decode(spelt + "==")
    assert uuid.UUID(owner).bytes not in raw and owner.encode() not in raw
    wrong = (OTHER, STARTUP) if surface.owner is Entity.USER else (USER, OTHER)
    assert shown.was_given(spelt, USER, STARTUP, KEY) and not shown.was_given(spelt, *wrong, KEY)
    assert not shown.was_given(spelt, USER, STARTUP, key_from("another key"))
    assert spelt != shown.spell(OTHER, KEY)


def test_a_list_for_anyone_has_no_owner() -> None:
    shown = replace(SHOWN, anyone=True, experiment="", edition="", arm="")
    spelt = shown.spell("", KEY)
    assert shown.was_given(spelt, USER, STARTUP, KEY) and shown.was_given(spelt, OTHER, OTHER, KEY)


@given(st.integers(0, 1000), st.integers(1, 255))
def test_a_changed_id_is_not_ours(place: int, bits: int) -> None:
    spelt = SHOWN.spell(USER, KEY)
    raw = bytearray(base64.urlsafe_b64decode(spelt + "=" * (-len(spelt) % 4)))
    raw[place % len(raw)] ^= bits
    changed = base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    try:
        found = ShownAnswer.read(changed)
    except DataError:
        return
    assert not found.was_given(changed, USER, STARTUP, KEY)


@given(st.text(max_size=300) | st.from_regex("[A-Za-z0-9_-]{30,240}", fullmatch=True))
def test_whatever_comes_is_read_or_refused(spelt: str) -> None:
    try:
        found = ShownAnswer.read(spelt)
    except DataError:
        return
    assert not found.was_given(spelt, USER, STARTUP, KEY)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = home / "answer-key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: kept_key(home, ANSWER_KEY), range(16)))
    assert len(keys) == 1 and len(keys.pop()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in home.iterdir()] == ["answer-key"]
