"""How text is compared: one normaliser for facets, roles, places and words, for the build and for the reader.

What is shown stays as it was written; only what is compared is folded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

#: Between the values of a list such as "ai; machine learning", and between the parts of a place.
_BETWEEN_VALUES = re.compile("[;,|、،؛]")
_BETWEEN_PARTS = re.compile("[;,|/、،؛]")
#: Scripts that put no space between words: Thai, Lao, Myanmar, Khmer, Tai, Balinese, Javanese, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9df\uaa60-\uaa7f"
    "\u3005-\u3007\u3031-\u3035\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
#: The last code points that hold combining marks, variation selectors apart.
_MARKS_TO = 0x1E950


def folded(text: str) -> str:
    """The one form in which texts are compared: NFKC, case folded, without invisible characters, white space as single
    blanks and none around it. Folding it again changes nothing."""
    if not text.isascii():
        text = "".join(c for c in text if not _invisible(c))
        for _ in range(2):
            text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.casefold().split())


def spelled(text: str) -> str:
    """A text as it is shown: as it was written, white space as single blanks and none around it."""
    return " ".join(text.split())


def words(text: str) -> list[str]:
    """The words of a text, folded, in order. A word keeps its combining marks ("हिन्दी") and a trailing + or # ("c++");
    where a script puts no space between words, its neighbouring characters stand for them, two by two."""
    return [word for piece in pieces(text) for word in _words_of(piece)]


def pieces(text: str) -> list[str]:
    """What stands between spaces and punctuation, folded, in order."""
    return _piece().findall(folded(text))


def values(text: str) -> list[str]:
    """The values of a list such as "ai; machine learning", folded; empty ones are left out."""
    return _split(_BETWEEN_VALUES, text)


def places(text: str) -> list[str]:
    """The parts of a place, folded, in order: "Berlin/Hamburg, Germany" has three."""
    return _split(_BETWEEN_PARTS, text)


def is_unspaced(word: str) -> bool:
    """Whether the word is of a script that puts no space between words: one character may be one."""
    return re.match(f"[{_UNSPACED}]", word) is not None


def most_frequent_spellings(texts: Iterable[tuple[str, int]]) -> dict[str, str]:
    """By folded text how it is shown: as it is written most often, of equals the first in the alphabet. texts: each
    spelling with its number; what is blank is left out."""
    counts: dict[str, dict[str, int]] = {}
    for text, number in texts:
        if key := folded(text):
            mine = counts.setdefault(key, {})
            mine[spelled(text)] = mine.get(spelled(text), 0) + number
    return {key: min(mine, key=lambda spelling: (-mine[spelling], spelling)) for key, mine in counts.items()}


def _split(between: re.Pattern[str], text: str) -> list[str]:
    return [" ".join(found) for part in between.split(folded(text)) if (found := _piece().findall(part))]


def _words_of(piece: str) -> list[str]:
    if piece.isascii():
        return [piece]
    found: list[str] = []
    for run in _RUN.findall(piece):
        found += _pairs(run) if is_unspaced(run) else [run]
    return found


def _pairs(run: str) -> list[str]:
    """Two neighbouring characters each, every one with its marks; a single one alone."""
    found = re.findall(f"[^{_marks()}][{_marks()}]*|[{_marks()}]+", run)
    return ["".join(pair) for pair in pairwise(found)] or found


@cache
def _piece() -> re.Pattern[str]:
    return re.compile(rf"(?:[^\W_][{_marks()}]*)+[+#]*")


@cache
def _marks() -> str:
    """Every combining mark, as a part of a character class."""
    return "".join(c for c in map(chr, range(0x300, _MARKS_TO)) if unicodedata.category(c)[0] == "M")


def _invisible(character: str) -> bool:
    """Joiners, soft hyphens, marks of direction and of order, and variation selectors."""
    return unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f" or character >= "\U000e0100"
