"""A refresh evicts nothing, yields to a build, obeys erasures, and removes no list."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from models.errors import GateClosed, ReleaseIncomplete
from models.lists.ranked_lists import RankedLists
from models.lists.release import PUBLISHES, popular_list, release_lists, went_live
from models.schema import Entity, ListKind, Method, Role, Similar, Surface
from pipelines.__main__ import main
from pipelines.erase.erase import erase
from pipelines.publish.assemble import store_release
from pipelines.publish.history import list_releases, promote, rollback
from pipelines.publish.publish import publish_release
from pipelines.refresh.merge import merged
from pipelines.refresh.refresh import look_for_changes, make_lists, merge, publish_refresh
from pipelines.refs import ChangesRef
from pipelines.retire import retire
from pipelines.run.run import Run, read_decisions
from pipelines.run_build import score_newest
from pipelines.store.artifacts import Artifacts
from tests.marketplace.tiny import identity
from tests.pipelines.refresh.conftest import Town

NEW, CAME = "0a0a0a0a-0000-4000-8000-000000000001", "f0f0f0f0-0000-4000-8000-000000000002"
DEVELOPERS = Surface.STARTUPS_FOR_DEVELOPER


def test_a_refresh_takes_a_place_and_a_build_goes_live_over_it_whatever_its_hour(town: Town) -> None:
    older = town.build(-24 * 7)
    promote(town.settings, older)
    promote(town.settings, town.built, by="ada")
    town.met(identity("user", 7), identity("startup", 4))
    town.refresh(1)
    town.met(identity("user", 7), identity("startup", 1), timedelta(hours=1, minutes=2))
    last = town.refresh(2)["release"]
    assert (town.live, town.history) == (last, [older])
    told = went_live(town.settings.artifacts, last)
    assert told is not None and (told["release"], told["by"]) == (town.built, "ada"), "a refresh decides nothing"
    refreshed, built = (Artifacts(town.settings).release(name) for name in (last, town.built))
    assert (refreshed.bundles_at(0), refreshed.bundles_at(2)) == (built.bundles, refreshed.bundles)
    assert len({refreshed.bundles_at(part)["catalogue_v1"] for part in range(3)}) == 3
    # its cutoff is an hour before the refresh, but its models know more than those of the refresh
    build = town.build(1.5)
    assert publish_release(town.settings, build).published and town.history == [last, older]
    assert rollback(town.settings).release == last
    assert not publish_release(town.settings, older).published, "an older build still needs force"


def test_a_build_that_went_live_meanwhile_wins(town: Town) -> None:
    town.met(identity("user", 7), identity("startup", 4))
    changes = look_for_changes(town.settings, "slow", town.at(1))
    stored = merge(town.settings, changes, make_lists(town.settings, changes))
    build = town.build(0.5)
    promote(town.settings, build)
    done = publish_refresh(town.settings, stored.release)
    assert not done.published and f"{build} is live by now" in done.reason
    assert (town.live, town.history) == (build, [town.built])
    town.met(identity("user", 7), identity("startup", 1), timedelta(hours=1))
    assert publish_refresh(town.settings, town.refresh(2)["release"]).published, "what is live already stays so"


def test_a_step_again_gives_the_same_and_staging_that_was_changed_is_refused(town: Town) -> None:
    town.met(identity("user", 7), identity("startup", 4))
    changes = look_for_changes(town.settings, "again", town.at(1))
    made = make_lists(town.settings, changes)
    sent = ChangesRef.from_json(json.loads(json.dumps(changes.as_json())))
    assert sent == look_for_changes(town.settings, "again", town.at(1))
    assert made == make_lists(town.settings, changes)
    path = next((town.settings.artifacts / "runs" / "again" / "lists").glob("*.npz"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ReleaseIncomplete, match="make the lists again"):
        merge(town.settings, changes, made)


def test_hourly_refreshes_push_no_build_out_of_the_store(town: Town) -> None:
    names = []
    for hour in range(1, 5):
        town.met(identity("user", 7), identity("startup", hour), timedelta(hours=hour, minutes=-5))
        names.append(town.refresh(hour)["release"])
    few = town.settings.layered({"keep_artifacts": 3}, "given")
    gone = retire(few)
    assert gone["releases"] == names[:-1]
    assert {r["release"] for r in list_releases(few)} == {town.built, names[-1]}
    assert town.release().bundles["catalogue_v1"] not in gone.get("bundles/catalogue_v1", [])
    town.met(identity("user", 8), identity("startup", 0), timedelta(hours=4, minutes=5))
    assert town.refresh(5)["published"]


def test_a_person_who_came_since_is_erased_from_a_refresh_as_from_a_build(town: Town) -> None:
    town.joined(CAME)
    town.met(CAME, identity("startup", 0))
    refreshed = town.refresh(1)["release"]
    assert UUID(CAME).bytes in town.raw(DEVELOPERS)
    staging = town.settings.artifacts / "runs"
    assert any("unity" in p.read_text() for p in staging.glob("refresh-*/words.json"))
    receipt = erase(town.settings, CAME)
    assert receipt["left"] == [] and town.live != refreshed
    assert UUID(CAME).bytes not in town.raw(DEVELOPERS)
    assert not list(staging.glob("refresh-*/words.json"))
    users = town.entities()[Entity.USER].ids
    assert users.later == 1 and users.blank[-1] and users.rows_of([CAME]).tolist() == [-1]
    town.met(identity("user", 7), identity("startup", 4), timedelta(hours=1, minutes=5))
    assert town.refresh(2)["published"] and UUID(CAME).bytes not in town.raw(DEVELOPERS)


def test_a_refresh_with_newcomers_goes_live_again_and_is_noted_when_redis_lost_the_trending_lists(town: Town) -> None:
    town.joined(CAME)
    town.met(CAME, identity("startup", 0))
    refreshed = town.refresh(1)["release"]
    promote(town.settings, town.built)
    town.client.delete(*(town.keys.trending(s) for s in Surface))
    promote(town.settings, refreshed, by="ada")
    told = json.loads((town.settings.artifacts / PUBLISHES).read_text().splitlines()[-1])
    assert town.live == refreshed and (told["release"], told["by"]) == (refreshed, "ada")
    assert all(town.client.exists(town.keys.trending(s)) for s in Surface)


def made_of(town: Town, change: Callable[[RankedLists], RankedLists]) -> dict[ListKind, RankedLists]:
    """Return every list of the live release after a change."""
    directory = Artifacts(town.settings).directory(town.built)
    release = town.release()
    return {s: change(RankedLists.concat(list(release_lists(directory, release, s)))) for s in release.kinds}


def test_too_many_popular_lists_stop_a_refresh(town: Town) -> None:
    run = Run.refreshing(town.settings, "bad", town.at(1), town.built)
    popular = np.uint8(Method.POPULAR.code)
    made = made_of(town, lambda lists: replace(lists, method=np.full(len(lists), popular)))
    with pytest.raises(GateClosed, match=r"from a personal list to the popular one; the limit is 20%"):
        merged(run, town.release(), town.release().bundles, made)
    few = made_of(town, lambda lists: lists.take(np.arange(len(lists))[:2]))
    assert merged(run, town.release(), town.release().bundles, few).lists == town.release().lists


def test_a_refresh_that_loses_a_list_is_not_stored(town: Town) -> None:
    town.joined(CAME)
    changes = look_for_changes(town.settings, "short", town.at(1))
    made = made_of(town, lambda lists: lists.take(np.zeros(0, np.int64)))
    run = Run.open(town.settings, changes.run)
    with pytest.raises(ReleaseIncomplete, match="1 owners without one"):
        merged(run, town.release(), changes.bundles, made)
    assert [r["release"] for r in list_releases(town.settings)] == [town.built]


def test_the_command_explains_what_it_made(
    town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MATCHBOOK_HOME", str(town.settings.home))
    monkeypatch.setenv("MATCHBOOK_NAMESPACE", town.settings.namespace)
    monkeypatch.setenv("DATABASE_URL", town.settings.database_url.reveal())
    monkeypatch.setenv("REDIS_URL", town.settings.redis_url.reveal())
    town.joined(CAME)
    town.met(CAME, identity("startup", 0))
    assert main(["refresh"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["published"] and told["new"] == {"user": 1, "startup": 0}
    (line,) = read_decisions(town.settings)
    assert (line["what"], line["verdict"], line["release"]) == ("refresh", "publish", told["release"])
    assert main(["explain", DEVELOPERS.value, CAME]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert [i["id"] for i in explained["list"]] == town.items(DEVELOPERS, CAME)
    assert explained["ranker"] and explained["ranker_version"] in explained["model_version"]
    explain_refuses(capsys)
    assert main(["refresh"]) == 0 and "knows everything" in json.loads(capsys.readouterr().out)["reason"]


def explain_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    """Check that malformed ids are wrong use, and that a person of another role is said to be one."""
    for wrong in ([DEVELOPERS.value, "42"], [DEVELOPERS.value, CAME, "--item", "zzz"]):
        with pytest.raises(SystemExit) as left:
            main(["explain", *wrong])
        said = capsys.readouterr().err
        assert left.value.code == 2 and "expected a UUID such as" in said and f"got '{wrong[-1]}'" in said
    assert main(["explain", Surface.STARTUPS_FOR_INVESTOR.value, CAME]) == 1
    assert "not an investor" in capsys.readouterr().err
    assert main(["explain", DEVELOPERS.value, NEW]) == 1
    assert "unknown at its cutoff" in capsys.readouterr().err


def test_scoring_the_newest_snapshot_passes_over_what_a_refresh_stored(town: Town) -> None:
    town.joined(CAME)
    town.refresh(1)
    scored = score_newest(town.settings)
    assert scored["lists"] == town.release(town.built).lists
    assert Path(Artifacts(town.settings).directory(scored["release"])).is_dir()


def test_newcomers_have_similar_lists_by_content_and_all_others_keep_theirs(town: Town) -> None:
    before = {kind: town.raw(kind) for kind in Similar}
    town.opened(NEW)
    town.joined(CAME, role="investor")
    assert town.refresh(1)["published"]
    for kind, owner in ((Similar.STARTUPS, NEW), (Similar.USERS, CAME)):
        mine = town.listing(kind, owner)
        assert mine.method is Method.CONTENT_BASED and len(mine.item) and mine.part == 1
        assert {k: v for k, v in town.raw(kind).items() if k != UUID(owner).bytes} == before[kind]
    users = town.entities()[Entity.USER]
    assert {int(users.role[r]) for r in town.listing(Similar.USERS, CAME).item} == {Role.INVESTOR.code}


def test_a_refresh_of_a_release_without_similar_lists_makes_none(town: Town) -> None:
    artifacts = Artifacts(town.settings)
    release, directory = town.release(), artifacts.directory(town.built)
    lists = {s: list(release_lists(directory, release, s)) for s in Surface}
    popular = {s: popular_list(directory, release, s) for s in Surface}
    older = store_release(artifacts, release, release.id.rpartition("-")[0], lists, popular)
    promote(town.settings, older.id)
    assert town.live == older.id and older.kinds == tuple(Surface)
    town.opened(NEW)
    assert town.refresh(1)["published"] and town.release().kinds == tuple(Surface)
