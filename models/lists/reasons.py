"""Why an item is in a list, as 32 bits per position. `models/sentences.py` writes them as text.

| bits | what |
|---|---|
| 0-3 | code of a facet + 1; 0: none |
| 4-7, 8-13 | event type; number of the owner's items with the same facet value |
| 14-17, 18-23 | event type; number of people with a similar history; number 0: none |
| 24-27 | code of the source that ranks the item highest |
| 28-30 | the item's `Standing` |
| 31 | old reason: its low 16 bits are those of list formats 1 and 2, by REASONS |

A number of 63 means 63 or more. In similar lists the facet is one that both have, with number 1 and no event type; the
people are those who engaged with both, and what they did with the item.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.schema import Standing

REASON = np.uint32
NUMBER_MOST = 63
_FIRST_STANDING = 5
_OLD = REASON(1 << 31)
#: Bits that come from the owner's history: facet and people; in an old reason the facets.
_OWN, _OLD_OWN = REASON((1 << 24) - 1), REASON(0xFFFF - sum(1 << s.code for s in Standing))


def packed(
    facet: NDArray[np.integer[Any]],
    event: NDArray[np.integer[Any]],
    number: NDArray[np.integer[Any]],
    people_event: NDArray[np.integer[Any]],
    people: NDArray[np.integer[Any]],
    source: NDArray[np.integer[Any]],
    standing: NDArray[np.integer[Any]],
) -> NDArray[np.uint32]:
    """Pack (n,) columns into (n,) uint32.

    facet: code, -1 for none. people: 0 for none. standing: bits of `standing_bit`.
    """
    there, counted = facet >= 0, people > 0
    columns = (
        (0, np.where(there, facet + 1, 0)),
        (4, np.where(there, event, 0)),
        (8, np.where(there, np.minimum(number, NUMBER_MOST), 0)),
        (14, np.where(counted, people_event, 0)),
        (18, np.minimum(people, NUMBER_MOST)),
        (24, source),
        (28, standing),
    )
    found = np.zeros(len(facet), REASON)
    for place, column in columns:
        found |= column.astype(REASON) << REASON(place)
    return found


def facet_of(reason: int) -> tuple[int, int, int]:
    """Return the facet's code (-1 for none), the event type and the number of items."""
    return (reason & 0xF) - 1, reason >> 4 & 0xF, reason >> 8 & NUMBER_MOST


def people_of(reason: int) -> tuple[int, int]:
    """Return the event type and the number of people, 0 for none."""
    return reason >> 14 & 0xF, reason >> 18 & NUMBER_MOST


def source_of(reason: int) -> int:
    """Return the code of the source that ranks the item highest."""
    return reason >> 24 & 0xF


def standings_of(reason: int) -> list[Standing]:
    """Return the standings of the item."""
    return [s for s in Standing if reason >> 28 & standing_bit(s)]


def standing_bit(standing: Standing) -> int:
    """Return the bit of a standing, for `packed`."""
    return 1 << (standing.code - _FIRST_STANDING)


def from_bits(bits: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Convert (n,) bits by REASONS, of list formats 1 and 2, to (n,) uint32."""
    return bits.astype(REASON) | _OLD


def is_old(reason: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return (n,) bool: from list format 1 or 2."""
    return reason >= _OLD


def bits_of(reason: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Invert `from_bits`: (n,) uint16."""
    return (reason & REASON(0xFFFF)).astype(np.uint16)


def any_own(reason: NDArray[np.uint32]) -> bool:
    """Return whether any reason comes from the owner's history."""
    return bool((reason & np.where(is_old(reason), _OLD_OWN, _OWN)).any())
