"""Encode the places of a list as JSON: `{"id": ..., "score": ..., "reasons": [...], "sources": [...]}`.

Most places of a release end like others: crunchbase's 833,600 have 19,538 ends. So a release keeps its ends, and caches
keep their parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.catalogue.catalogue import ItemTable
from models.lists.redis_format import StoredList
from models.schema import LIST_KINDS
from models.sentences import FACET, MOST, OLD, PEOPLE, facet_words, people_words, rest_words, sentences

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_TEXTS_MOST = 20_000
#: Scores have four decimals.
_SCORES = [repr(n / 10_000) for n in range(10_001)]


@lru_cache(maxsize=_TEXTS_MOST)
def quoted(text: str) -> str:
    return _ENCODE(text)


class _Texts(dict[Any, str]):
    """Makes texts at first use. A full cache starts again empty."""

    def __init__(self, make: Callable[[Any], str]) -> None:
        self._make = make

    def __missing__(self, key: Any) -> str:
        if len(self) >= _TEXTS_MOST:
            self.clear()
        text = self[key] = self._make(key)
        return text


def places(listing: StoredList, table: ItemTable, voice: int, cut: slice | NDArray[np.int64]) -> tuple[str, str]:
    """Encode the places of a cut, and their scores by id, each without the outer brackets. voice: see `ListKind`."""
    item = listing.item[cut]
    numbers = np.rint(listing.score[cut] * np.float64(10_000)).astype(np.int64).tolist()
    texts, rows = table.texts, item.tolist()
    ids, scores = [texts[row] for row in rows], [_SCORES[n] for n in numbers]
    columns = zip(ids, scores, rows, listing.source[cut].tolist(), listing.reason[cut].tolist(), strict=True)
    facets, ends, entries = table.reasons, table.ends, []
    for id, score, row, source, reason in columns:
        found = facets.get(reason & 0xF)
        code = -1 if found is None else found[0].item(row)
        key = reason | source << 32 | voice << 48 | code + 1 << 52
        end = ends.get(key)
        if reason & OLD:  # it describes several facets
            end = _joined(sentences(reason, source, voice, row, table.facets, table.labels), 0, source)
        elif end is None:
            end = _end(reason, source, voice, "" if found is None or code < 0 else found[1][code])
            if len(ends) < _TEXTS_MOST:
                ends[key] = end
        entries.append(f'{{"id":"{id}","score":{score},"reasons":[{end}')
    return ",".join(entries), ",".join([f'"{id}":{score}' for id, score in zip(ids, scores, strict=True)])


def _end(reason: int, source: int, voice: int, label: str) -> str:
    """Return the reasons and sources of a place. label: the value of the facet in the reason, or empty."""
    people, facet, rest = _TEXTS[voice]
    text = people[reason & PEOPLE]
    n = int(text != "")
    if label and (shared := facet[reason & FACET, label, n]):
        text += shared
        n += 1
    return text + rest[reason >> 24, source, reason & PEOPLE > 0, n]


def _texts(voice: int) -> tuple[_Texts, _Texts, _Texts]:
    """Return three caches of text: what people did, the shared facet, and the end of a place.

    The first has PEOPLE bits as key. The second has FACET bits, the label, and the number of earlier reasons. The third
    has the high bits, the sources, whether people are counted, and the number of earlier reasons.
    """

    def facet(key: tuple[int, str, int]) -> str:
        bits, label, n = key
        return "".join("," * n + quoted(f"{a}{label}{b}") for _, a, b in facet_words(bits, voice))

    def rest(key: tuple[int, int, bool, int]) -> str:
        high, source, counted, n = key
        return _joined(rest_words(high << 24, source, counted, voice), n, source)

    return _Texts(lambda bits: "".join(map(quoted, people_words(bits, voice)))), _Texts(facet), _Texts(rest)


def _joined(reasons: list[str], n: int, source: int) -> str:
    """Return the end of a place: its reasons up to MOST, `n` of them already written, and its sources."""
    texts = ",".join(map(quoted, reasons[: MOST - n]))
    names = ",".join(quoted(s.name) for s in registry.sources() if source & s.bit)
    return f'{"," if n and texts else ""}{texts}],"sources":[{names}]}}'


_TEXTS = tuple(_texts(voice) for voice in range(1 + max(kind.voice for kind in LIST_KINDS)))
