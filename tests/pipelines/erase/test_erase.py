"""Erase a user everywhere. No other user changes, and nothing restores the user."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from uuid import UUID

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.catalogue.catalogue import CATALOGUE, decode_items
from models.errors import DataError, ReleaseNotFound
from models.lists.redis_format import TrendingList
from models.schema import Entity, Surface
from pipelines.erase.erase import FOLDER, erase, erase_returned, traces_left
from pipelines.erase.servers import person_of
from pipelines.events.drain import drain_events
from pipelines.export.snapshot import Snapshot
from pipelines.publish.history import promote, rollback
from pipelines.retire import retire
from pipelines.run_build import run_build
from pipelines.store.artifacts import HOLDOUTS, Artifacts
from serving.app import create_app
from tests.marketplace.tiny import AFTER_ALL, identity
from tests.pipelines.erase.conftest import PERSON, City, Erased, Traces
from tests.stored import entries, value


def test_nothing_is_left_and_all_others_have_their_lists(erased: Erased, traces: Traces) -> None:
    city, receipt = erased.city, erased.receipt
    assert min(erased.before.finds) > 30, "the search must see what is there to be seen"
    assert traces(city) == [] and receipt["left"] == [] and receipt["done_at"]
    assert PERSON not in json.dumps(receipt) and receipt["platform_names_them"] is True
    for old, lists in erased.before.lists.items():
        new = receipt["successors"][f"releases/{old}"].removeprefix("releases/")
        expected = {
            key: [place for place in places if place[0] != PERSON] for key, places in lists.items() if key[1] != PERSON
        }
        assert city.lists(new) == expected
        assert sum(map(len, expected.values())) < sum(map(len, lists.values()))
    assert city.current == receipt["successors"][f"releases/{city.live}"].removeprefix("releases/")


def test_lists_that_never_held_the_person_are_equal_to_the_byte(erased: Erased) -> None:
    city = erased.city
    after = city.client.hgetall(city.keys.lists(city.current, Surface.STARTUPS_FOR_INVESTOR))
    assert after == erased.before.raw and len(after) > 1


def test_data_about_others_stays(erased: Erased) -> None:
    city = erased.city
    client, keys = city.client, city.keys
    assert [f[b"event_id"] for f in entries(client, keys.events)] == [b"e4"]
    assert client.smembers(keys.hidden(Entity.USER)) == {b"n" * 16} and int(value(client, keys.hidden_version)) > 5
    assert client.hkeys(keys.since(Entity.STARTUP, identity("startup", 4))) == [b"n" * 16]
    for s in Surface:
        stored = TrendingList.decode(value(client, keys.trending(s)))
        assert stored.ids.tolist() == [i for i in erased.before.trending[s] if i != PERSON]
    report = (city.settings.home / "rejected" / "a.csv").read_text().splitlines()
    assert report == ["file,line", "users.csv,somebody else"]
    assert (city.settings.home / "logs" / "a.csv").read_text() == f"owner {'-' * 36} asked\n"
    assert not (city.settings.artifacts / "runs" / "of-yesterday").exists()


def test_the_row_keeps_its_number_and_is_blank(erased: Erased) -> None:
    city, receipt = erased.city, erased.receipt
    artifacts, stored = Artifacts(city.settings), Artifacts(erased.mould.settings)
    old = stored.open_bundle(CATALOGUE, stored.release(city.live).bundles[CATALOGUE])
    row = int(old.maps["user"].rows_of([PERSON])[0])

    release = artifacts.release(city.current)
    new = artifacts.open_bundle(CATALOGUE, release.bundles[CATALOGUE])
    assert new.config["erased"] == [receipt["mark"]] and release.erased == [receipt["mark"]]
    assert release.replaces == city.live and release.generated_at
    assert new.maps["user"].ids[row] == "" and len(new.maps["user"]) == len(old.maps["user"])
    assert [int(new.arrays[f"user_{c}"][row]) for c in ("role", "listed", "count", "location")] == [-1, 0, 0, -1]
    assert "Tinyville" in old.config["labels"]["user"]["location"]
    assert "Tinyville" not in new.config["labels"]["user"]["location"]
    assert (old.arrays["startup_founder"] == row).sum() == 1 and (new.arrays["startup_founder"] == row).sum() == 0
    table = decode_items(value(city.client, city.keys.items(release.id, Entity.USER)))
    assert table.ids.ids[row] == "" and table.role[row] == -1 and table.ids.rows_of([PERSON]).tolist() == [-1]
    als = artifacts.open_bundle("als_v1", release.bundles["als_v1"])
    assert not als.arrays["user_factors"][als.maps["user"].ids == ""].any()
    judge = artifacts.open_bundle("als_v1", release.judged["als_v1"], HOLDOUTS)
    assert PERSON not in judge.maps["user"].ids and judge.config["erased"]


def test_the_snapshot_has_a_blank_row_and_none_of_the_events(erased: Erased) -> None:
    before = {p.name: Snapshot.open(p) for p in (erased.mould.settings.artifacts / "snapshots").iterdir()}
    assert len(before) == 2
    for name, old in before.items():
        path = erased.city.settings.artifacts / erased.receipt["successors"][f"snapshots/{name}"]
        new, mine = Snapshot.open(path), int(old.user_ids.rows_of([PERSON])[0])
        events = old.interactions()
        assert len(new.interactions()) == int((events.owner != mine).sum()) == new.manifest["counts"]["interactions"]
        assert new.user_ids.ids[mine] == "" and new.profiles(Entity.USER)["location"][mine] == ""
        assert "" in new.profiles(Entity.USER)["headline"] and PERSON not in new.startups["founder_id"].to_pylist()
        assert pq.read_table(path / "users.parquet").num_rows == len(old.users)
        assert {p.name for p in (path / "datasets").iterdir()} == {
            "als_interactions.npz",
            "als_interactions_reverse.npz",
            "als_user_mapping.json",
            "als_item_mapping.json",
            "als_reverse_user_mapping.json",
            "als_reverse_item_mapping.json",
            "two_tower_train.csv",
            "ranker_train.csv",
            "ranker_train_reverse.csv",
        }


def test_again_changes_nothing_not_even_the_receipt(planted: City) -> None:
    first = erase(planted.settings, PERSON)
    path = planted.settings.home / FOLDER / f"{first['mark']}.json"
    written, lists = path.read_bytes(), planted.lists()
    assert path.stat().st_mode & 0o777 == 0o600
    assert erase(planted.settings, PERSON) == first
    assert path.read_bytes() == written and planted.lists() == lists


def test_neither_rollback_nor_promote_nor_a_new_build_brings_the_person_back(city: City, traces: Traces) -> None:
    receipt = erase(city.settings, PERSON)
    older = receipt["successors"][f"releases/{city.older}"].removeprefix("releases/")
    assert rollback(city.settings).release == older and traces(city) == []
    with pytest.raises(ReleaseNotFound):
        promote(city.settings, city.live)

    run_build(city.settings, as_of=AFTER_ALL + timedelta(hours=1), force=True)  # the platform still has the user's id
    assert traces(city) == [] and all(PERSON not in key for key in city.lists())


def test_a_cutoff_is_built_again_without_the_person_and_twice_the_same(city: City, traces: Traces) -> None:
    """The same snapshot and person give the same bytes. This holds for successors and their builds."""
    copy = city.settings.home.with_name("copy")
    shutil.copytree(city.settings.artifacts, copy)
    first = erase(city.settings, PERSON)
    shutil.rmtree(city.settings.artifacts)
    shutil.copytree(copy, city.settings.artifacts)
    again = erase(city.settings, PERSON)
    assert first["successors"] == again["successors"]

    built = [run_build(city.settings, as_of=AFTER_ALL, force=True)["release"] for _ in range(2)]
    assert built[0] == built[1] and traces(city) == []
    assert UUID(PERSON).bytes not in city.client.hkeys(city.keys.lists(built[0], Surface.STARTUPS_FOR_DEVELOPER))


def test_the_reader_forgets_the_user_and_shows_them_to_no_owner(city: City) -> None:
    app = create_app(city.settings)
    asking = app.test_client()
    reader = app.extensions["matchbook"]
    try:
        url = f"/api/recommendations/startups/for-developer/{PERSON}"
        assert asking.get(url).get_json()["known"] is True
        erase(city.settings, PERSON)
        reader.releases.follow()
        reader.lists.hidden.follow()
        reader.live.recipes(reader.releases.held, patience_s=30)

        answer = asking.get(url).get_json()
        assert (answer["known"], answer["method_used"]) == (False, "popular") and answer["startups"]
        for n in range(15):
            url = f"/api/recommendations/developers/for-startup/{identity('startup', n)}?limit=100"
            listed = asking.get(url).get_json()["users"]
            assert listed and all(user["id"] not in ("", PERSON) for user in listed)
        # unknown ids are kept for a short time, erased ids are not
        assert not [k for k in city.client.scan_iter(f"{city.settings.namespace}:*") if PERSON.encode() in k]
    finally:
        reader.close()


def test_a_build_that_was_under_way_is_stopped_and_what_it_left_is_taken_out(city: City, traces: Traces) -> None:
    """The build wrote its files after the erasure's search. The daily cleaning finds them by the marks."""
    artifacts = Artifacts(city.settings)
    late = artifacts.open_bundle(CATALOGUE, artifacts.release(city.live).bundles[CATALOGUE])
    erase(city.settings, PERSON)
    artifacts.store_bundle(late, "20240430T000000Z")
    assert traces(city) != []
    assert erase_returned(city.settings) == 1 and traces(city) == []
    assert erase_returned(city.settings) == 0 and retire(city.settings) == {}


def test_a_startup_can_be_erased_too(city: City) -> None:
    startup = identity("startup", 7)
    before = city.lists()
    receipt = erase(city.settings, startup)
    after = city.lists()
    assert receipt["left"] == [] and all(owner != startup for _, owner in after)
    assert after == {key: [p for p in places if p[0] != startup] for key, places in before.items() if key[1] != startup}


@pytest.mark.parametrize("gone", [PERSON, identity("startup", 1)], ids=["person", "startup"])
def test_neither_posted_events_nor_the_platforms_rows_bring_them_back(city: City, gone: str) -> None:
    """The platform keeps the rows, some withdrawn or opted out, and a client still posts about them."""
    erase(city.settings, gone)
    city.execute("UPDATE users SET opted_out_at = now() - interval '1 hour' WHERE id = %s", gone)
    city.execute("UPDATE startups SET withdrawn_at = now() - interval '1 hour', updated_at = now() WHERE id = %s", gone)
    city.execute(
        "INSERT INTO user_interactions SELECT user_id, startup_id, 'like', now() - interval '1 minute' "
        "FROM user_interactions WHERE user_id = %s OR startup_id = %s",
        gone,
        gone,
    )
    other = (PERSON, identity("startup", 5)) if gone == PERSON else (identity("user", 8), gone)
    for event, (user, startup) in {"e1": other, "e2": (identity("user", 8), identity("startup", 5))}.items():
        city.client.xadd(
            city.keys.events,
            {"event_id": event, "user_id": user, "startup_id": startup, "type": "like", "at": "2024-05-01T00:00:00Z"},
        )

    drain_events(city.settings, full=True)

    assert traces_left(city.settings, person_of(city.settings, gone)) == []
    assert city.execute("SELECT event_id FROM matchbook_events") == [("e2",)]


def test_an_unknown_id_leaves_a_receipt_and_an_invalid_one_is_refused(city: City) -> None:
    releases = [r.id for r in Artifacts(city.settings).releases()]
    receipt = erase(city.settings, identity("user", 999))
    assert receipt["successors"] == {} and receipt["platform_names_them"] is False
    assert [r.id for r in Artifacts(city.settings).releases()] == releases
    with pytest.raises(DataError, match="expected the id of a person"):
        erase(city.settings, "everybody")


def test_two_people_one_after_the_other(city: City, traces: Traces) -> None:
    other = identity("user", 20)
    first, second = erase(city.settings, PERSON), erase(city.settings, other)
    release = Artifacts(city.settings).release(city.current)
    assert release.erased == [first["mark"], second["mark"]] and traces(city) == []
    assert np.all([owner not in (PERSON, other) for _, owner in city.lists()])
