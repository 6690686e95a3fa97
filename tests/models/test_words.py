"""Compare text: one normal form, whole words or pairs in every script, places in parts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.profile_text import text_of, tokens_of
from models.schema import Role
from models.words import folded, most_frequent_spellings, places, spelled, values, words

SPELLINGS = (
    "fintech",
    "Fintech",
    "FINTECH ",
    "\u00a0fintech",
    " fin\u00adtech",
    "ﬁntech",
    "fintech\u200b",
    "\uff46\uff49\uff4e\uff54\uff45\uff43\uff48",
    "\ufefffintech",
    "fintech\n",
    "\u2003Fintech\u2009",
)


@pytest.mark.parametrize("text", SPELLINGS)
def test_all_spellings_are_one(text: str) -> None:
    assert folded(text) == "fintech" and words(text) == ["fintech"] and values(text) == ["fintech"]
    assert tokens_of({"category": text}) == tokens_of({"category": "fintech"}) == ["category:fintech", "fintech"]


@pytest.mark.parametrize("text", ["", "  ", "\u00a0", "\u200b", "\ufeff\u2060", "\t\r\n", "\u3000", "\ufe0f"])
def test_blanks_are_blank(text: str) -> None:
    assert folded(text) == "" and words(text) == [] and tokens_of({"category": text, "location": text}) == []
    assert most_frequent_spellings([(text, 9)]) == {}


def test_what_is_shown_is_what_most_people_write() -> None:
    told = [("fintech", 2), ("FinTech", 3), ("FinTech ", 1), ("Fintech", 4), ("Bio", 1), ("bio", 1), (" ", 9)]
    assert most_frequent_spellings(told) == {"fintech": "FinTech", "bio": "Bio"}
    assert spelled(" New \u00a0 York ") == "New York"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("العَرَبِيَّة", ["العَرَبِيَّة"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("naïve cafe\u0301", ["naïve", "café"]),
        ("金融科技", ["金融", "融科", "科技"]),
        ("東京のAI会社", ["東京", "京の", "ai", "会社"]),
        ("スタート", ["スタ", "ター", "ート"]),
        ("茶", ["茶"]),
        ("C++ & c#, .NET", ["c++", "c#", "net"]),
        ("핀테크 회사", ["핀테크", "회사"]),
        ("snake_case x-y", ["snake", "case", "x", "y"]),
    ],
)
def test_words_of_every_script(text: str, expected: list[str]) -> None:
    assert words(text) == [unicodedata.normalize("NFKC", w) for w in expected]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("เทคโนโลยีการเงิน", "การเงิน"),
        ("បច្ចេកវិទ្យាហិរញ្ញវត្ថុ", "ហិរញ្ញវត្ថុ"),
        ("金融科技公司", "金融"),
        ("株式会社メルカリ", "メルカリ"),
        ("ဘဏ္ဍာရေးနည်းပညာ", "နည်းပညာ"),
    ],
)
def test_a_word_inside_an_unspaced_text_is_found(text: str, part: str) -> None:
    assert set(words(part)) <= set(words(text))
    assert all(unicodedata.category(word[0])[0] != "M" for word in words(text)), "no word begins with a combining mark"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Berlin/Hamburg, Germany", ["berlin", "hamburg", "germany"]),
        ("New York; USA", ["new york", "usa"]),
        ("東京、日本", ["東京", "日本"]),
        (" , /; ", []),
        ("St. Louis，MO", ["st louis", "mo"]),
    ],
)
def test_places_have_parts(text: str, expected: list[str]) -> None:
    assert places(text) == expected
    assert tokens_of({"location": text}) == sorted(f"location:{p.replace(' ', '_')}" for p in expected)


@given(st.text(max_size=60))
def test_folding_again_changes_nothing_and_every_reading_begins_with_it(text: str) -> None:
    assert folded(folded(text)) == folded(text) == folded(spelled(text))
    assert words(folded(text)) == words(text) and places(folded(text)) == places(text)
    assert folded(unicodedata.normalize("NFD", text)) == folded(unicodedata.normalize("NFC", text))
    profile = dict.fromkeys(("category", "tags", "headline", "location"), text)
    assert text_of(profile).split() == tokens_of(profile) == sorted(set(tokens_of(profile)))


@pytest.mark.parametrize("text", ["developer", "Developer", " DEVELOPER\u00a0", "Ｄeveloper", "deve\u00adloper"])
def test_a_role_counts_however_it_is_written(text: str) -> None:
    assert Role.of(text) is Role.DEVELOPER
    assert Role.of("investor ") is Role.INVESTOR and Role.of("founder") is None and Role.of("") is None
