"""The cache contract: every key in Redis. `pipelines` writes, `serving` reads.

<ns>:current                        id of the live release; the one pointer, moved by one SET
<ns>:history                        list of the ids that were live before, newest first
<ns>:publisher, <ns>:fence          the lease of the one publisher at a time, and the newest token handed out
<ns>:loading                        set of the ids whose keys may be there though they are neither live nor history
<ns>:release:<id>:manifest          JSON, see Release
<ns>:release:<id>:<surface>         hash: owner's 16 id bytes -> encoded list; field * holds the popular list
<ns>:release:<id>:items:<entity>    npz: ids and facets behind the item numbers of the lists
<ns>:trending:<surface>             encoded ids and scores, refreshed between builds, see TrendingList
<ns>:live:<id>:<surface>:<owner>    a list computed live, short lived, see LiveList
<ns>:flight:<id>:<surface>:<owner>  who is computing that list now, or that it failed a moment ago; very short lived
<ns>:count:<entity>:<id>            an interaction count in decimal, short lived (H03)
<ns>:since:<entity>:<id>            hash: 16 id bytes of whom or what this owner met since the oldest loaded build,
                                    or owns -> see `since_value`; both sides of an event are written, lives as long
                                    as lists do
<ns>:hidden:<entity>                set of 16 id bytes: withdrawn startups, people who opted out
<ns>:hidden:version                 grows when one of those sets, or that of the erased, has changed
<ns>:erased                         hash of the marks of erased people, and the key of the marks, see Erased.fields
<ns>:events                         stream of posted events, read by the consumer group `drain`, see Event.entry
<ns>:drain                          hash: what the drain has done and read so far, for the next one and for metrics
<ns>:earnings                       JSON, what answers earned of late, for metrics (docs/experiments.md)
<ns>:rate:<caller>:<minute>         how often a caller has asked within a minute
<ns>:posted:<caller>:<minute>       how many events it has posted within a minute
<ns>:claimed:<caller>:<day>         about how many bytes of since hashes its events made within a day
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from models.schema import Entity, Surface

POPULAR_FIELD = b"*"
DRAIN_GROUP = "drain"
OWN = 255  # in place of the code of a kind: not met, but the owner's own
_SINCE = struct.Struct("<Bq")  # EventType.code or OWN, microseconds since 1970 UTC


@dataclass(frozen=True)
class Keys:
    """Every key, in one namespace."""

    namespace: str = "matchbook"

    @property
    def current(self) -> str:
        return f"{self.namespace}:current"

    @property
    def history(self) -> str:
        return f"{self.namespace}:history"

    @property
    def publisher(self) -> str:
        """The lease of the one publisher at a time: its token."""
        return f"{self.namespace}:publisher"

    @property
    def fence(self) -> str:
        """The newest token handed out to a publisher; whoever has an older one can write nothing."""
        return f"{self.namespace}:fence"

    @property
    def loading(self) -> str:
        return f"{self.namespace}:loading"

    def manifest(self, release: str) -> str:
        return f"{self.namespace}:release:{release}:manifest"

    def lists(self, release: str, surface: Surface) -> str:
        return f"{self.namespace}:release:{release}:{surface}"

    def items(self, release: str, entity: Entity) -> str:
        return f"{self.namespace}:release:{release}:items:{entity}"

    def trending(self, surface: Surface) -> str:
        return f"{self.namespace}:trending:{surface}"

    def live(self, release: str, surface: Surface, owner: str) -> str:
        return f"{self.namespace}:live:{release}:{surface}:{owner}"

    def flight(self, release: str, surface: Surface, owner: str) -> str:
        return f"{self.namespace}:flight:{release}:{surface}:{owner}"

    def count(self, entity: Entity, owner: str) -> str:
        return f"{self.namespace}:count:{entity}:{owner}"

    def since(self, entity: Entity, owner: str) -> str:
        return f"{self.namespace}:since:{entity}:{owner}"

    def hidden(self, entity: Entity) -> str:
        return f"{self.namespace}:hidden:{entity}"

    @property
    def hidden_version(self) -> str:
        return f"{self.namespace}:hidden:version"

    @property
    def erased(self) -> str:
        """Marks of erased people and the key that makes them."""
        return f"{self.namespace}:erased"

    @property
    def events(self) -> str:
        return f"{self.namespace}:events"

    @property
    def drain(self) -> str:
        return f"{self.namespace}:drain"

    @property
    def earnings(self) -> str:
        return f"{self.namespace}:earnings"

    def rate(self, caller: str, minute: int) -> str:
        return f"{self.namespace}:rate:{caller}:{minute}"

    def posted(self, caller: str, minute: int) -> str:
        return f"{self.namespace}:posted:{caller}:{minute}"

    def claimed(self, caller: str, day: int) -> str:
        return f"{self.namespace}:claimed:{caller}:{day}"

    def of_release(self, release: str) -> list[str]:
        """All keys that a release owns: no key is ever found by scanning."""
        return [
            self.manifest(release),
            *(self.items(release, e) for e in Entity),
            *(self.lists(release, s) for s in Surface),
        ]


def since_value(code: int, at_us: int) -> bytes:
    """What a since hash holds of a pair: EventType.code or OWN, and when it was; of a posted event when it came."""
    return _SINCE.pack(code, at_us)


def since_meaning(value: bytes) -> tuple[int, int]:
    """The inverse: (code, microseconds); of what is no such value as of OWN, which counts for nothing."""
    code, at_us = _SINCE.unpack(value) if len(value) == _SINCE.size else (OWN, 0)
    return code, at_us
