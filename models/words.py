"""How texts are compared: one normaliser of facets, roles, places and words, for build and reader.

Texts are shown as written. Only comparisons use the folded form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

#: Separators of the values in a list such as "ai; machine learning", and of the parts of a place.
_BETWEEN_VALUES = re.compile("[;,|、،؛]")
_BETWEEN_PARTS = re.compile("[;,|/、،؛]")
#: Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, Tai, Balinese, Javanese, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9df\uaa60-\uaa7f"
    "\u3005-\u3007\u3031-\u3035\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
#: `_marked_piece` for ASCII, which has no combining marks.
_PLAIN_PIECE = re.compile(r"[^\W_]+[+#]*", re.ASCII)
#: Last code point of combining marks, except variation selectors.
_MARKS_TO = 0x1E950


def with_article(noun: str) -> str:
    """Return "an investor", "a developer"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def folded(text: str) -> str:
    """Return the form in which texts are compared; idempotent.

    It is NFKC, case folded, without invisible characters, with white space as single blanks, none at the ends.
    """
    if not text.isascii():
        text = "".join(c for c in text if not _invisible(c))
        for _ in range(2):
            text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.casefold().split())


def spelled(text: str) -> str:
    """Return the form in which a text is shown: white space becomes single blanks, none at the ends."""
    return " ".join(text.split())


def words(text: str) -> list[str]:
    """Return the words of a text, folded, in order.

    A word keeps its combining marks ("हिन्दी") and a trailing + or # ("c++"). In scripts without spaces between words,
    each two adjacent characters are a word.
    """
    return [word for piece in pieces(text) for word in _words_of(piece)]


def pieces(text: str) -> list[str]:
    """Return the parts between spaces and punctuation, folded, in order."""
    text = folded(text)
    return _piece(text).findall(text)


def values(text: str) -> list[str]:
    """Return the values of a list such as "ai; machine learning", folded, without empty ones."""
    return _split(_BETWEEN_VALUES, text)


def places(text: str) -> list[str]:
    """Return the parts of a place, folded, in order: "Berlin/Hamburg, Germany" has three."""
    return _split(_BETWEEN_PARTS, text)


def is_unspaced(word: str) -> bool:
    """Return whether the word's script has no spaces between words: one character may be a word."""
    return re.match(f"[{_UNSPACED}]", word) is not None


def most_frequent_spellings(texts: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Return for each folded text its most frequent written form, ties alphabetical.

    texts: each written form with its count; blank ones are ignored.
    """
    counts: dict[str, dict[str, int]] = {}
    for text, number in texts:
        if key := folded(text):
            mine = counts.setdefault(key, {})
            mine[spelled(text)] = mine.get(spelled(text), 0) + number
    return {key: min(mine, key=lambda form: (-mine[form], form)) for key, mine in counts.items()}


def _split(between: re.Pattern[str], text: str) -> list[str]:
    text = folded(text)
    return [" ".join(found) for part in between.split(text) if (found := _piece(text).findall(part))]


def _words_of(piece: str) -> list[str]:
    if piece.isascii():
        return [piece]
    found: list[str] = []
    for run in _RUN.findall(piece):
        found += _pairs(run) if is_unspaced(run) else [run]
    return found


def _pairs(run: str) -> list[str]:
    """Return each two adjacent characters with their marks, or a single character."""
    found = re.findall(f"[^{_marks()}][{_marks()}]*|[{_marks()}]+", run)
    return ["".join(pair) for pair in pairwise(found)] or found


def _piece(text: str) -> re.Pattern[str]:
    return _PLAIN_PIECE if text.isascii() else _marked_piece()


@cache
def _marked_piece() -> re.Pattern[str]:
    return re.compile(rf"(?:[^\W_][{_marks()}]*)+[+#]*")


@cache
def _marks() -> str:
    return "".join(c for c in map(chr, range(0x300, _MARKS_TO)) if unicodedata.category(c)[0] == "M")


def _invisible(character: str) -> bool:
    """Return whether it is a joiner, a soft hyphen, a mark of direction or order, or a variation selector."""
    return unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f" or character >= "\U000e0100"
