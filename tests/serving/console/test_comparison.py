"""Compare two releases as a whole: the same overlap as the command, and exposure by a plain count."""

from __future__ import annotations

from collections import Counter

import pytest

from models.lists.audience import SEEN
from models.lists.release import Release, release_lists
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.gate.compare import differences
from pipelines.store.artifacts import Artifacts
from serving.clients.postgres import Database
from serving.console.comparison import Comparison
from serving.console.explore import chosen
from serving.console.release_files import ReleaseFiles
from serving.console.stored import Known
from tests.serving.conftest import Publish


def known(release: Release, state: str = "stored") -> Known:
    return Known(release.id, state, release.as_of, release.generated_at, release, None)


def exposure(artifacts: Artifacts, release: Release, surface: Surface) -> Counter[int]:
    parts = release_lists(artifacts.directory(release.id), release, surface)
    return Counter(int(i) for lists in parts for n in range(len(lists)) for i in lists.item[lists.row(n)][:SEEN])


def test_overlap_and_exposure_equal_a_plain_count(publish: Publish, rows: str, settings: Settings) -> None:
    artifacts, database = Artifacts(settings), Database(settings)
    one, other = (artifacts.release(publish(day=d, backwards=d == 11)) for d in (10, 11))
    expected = differences(artifacts, one, other)
    found = Comparison(ReleaseFiles(settings), database).between(known(one), known(other))
    database.close()
    assert [s["surface"] for s in found] == list(Surface)
    for told in found:
        surface = told["surface"]
        assert told["overlap"]["mean"] == pytest.approx(expected[surface.value]["overlap_at_10"], abs=1e-5)
        assert told["overlap"]["owners"] == expected[surface.value]["owners"]
        counts = [exposure(artifacts, r, surface) for r in (one, other)]
        gains = [counts[1][i] - counts[0][i] for i in {*counts[0], *counts[1]}]
        assert [m["after"] - m["before"] for m in told["exposure"]["gained"]] == sorted(
            (g for g in gains if g > 0), reverse=True
        )[:8]
        assert [m["after"] - m["before"] for m in told["exposure"]["lost"]] == sorted(g for g in gains if g < 0)[:8]
        assert told["exposure"]["new"] == len(set(counts[1]) - set(counts[0]))
        assert told["exposure"]["gone"] == len(set(counts[0]) - set(counts[1]))


def test_a_release_compared_with_itself_is_the_same(publish: Publish, rows: str, settings: Settings) -> None:
    release, database = Artifacts(settings).release(publish()), Database(settings)
    for told in Comparison(ReleaseFiles(settings), database).between(known(release), known(release)):
        assert told["overlap"]["mean"] == 1.0
        assert told["exposure"] == {"gained": [], "lost": [], "new": 0, "gone": 0}
    database.close()


def test_the_live_release_and_the_build_before_it_are_the_default(publish: Publish, settings: Settings) -> None:
    artifacts = Artifacts(settings)
    old, new = (artifacts.release(publish(day=d)) for d in (10, 11))
    both = [known(new, "live"), known(old)]
    assert [k.id for k in chosen(both, "", "") or ()] == [old.id, new.id]
    assert [k.id for k in chosen(both, new.id, old.id) or ()] == [new.id, old.id]
    assert chosen([known(new, "live")], "", "") is None and chosen([], "", "") is None
