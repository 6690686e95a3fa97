"""Open the pages of people, startups and compared releases over real servers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from flask.testing import FlaskClient

from models.schema import Entity, Role, Similar, Surface
from models.settings.settings import Settings
from serving.clients.postgres import Database
from serving.console.audiences import Seen
from serving.console.entities import EntityPages
from tests.marketplace.world import World
from tests.serving.conftest import Company, Execute, Person, Publish, Start
from tests.serving.console.kept import words
from tests.serving.console.test_insight import shown

NOBODY = "3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10"
SURFACE = Surface.STARTUPS_FOR_DEVELOPER


@pytest.fixture
def client(publish: Publish, rows: str, start: Start) -> FlaskClient:
    publish()
    return start().test_client()


def text_of(client: FlaskClient, path: str, status: int = 200) -> str:
    """Return the text of a page, without markup, with single blanks."""
    page = client.get(path)
    assert page.status_code == status, page.text
    return words(page.text)


def ids_on(client: FlaskClient, path: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/(?:people|startups)/([0-9a-f-]{36})"', client.get(path).text)


def test_people_are_listed_filtered_and_paged(client: FlaskClient, planted: World) -> None:
    everybody, path = [], "/people"
    while path:
        page = client.get(path).text
        everybody += ids_on(client, path)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        path = unescape(found.group(1)) if found else ""
    assert len(everybody) == len(set(everybody)) == len(planted.users)
    investors = [
        str(i) for i, r in zip(planted.users.ids.ids, planted.users.role, strict=True) if r == Role.INVESTOR.code
    ]
    assert set(ids_on(client, "/people?role=investor")) <= set(investors)
    hot = {str(i) for i, n in zip(planted.users.ids.ids, planted.users.count, strict=True) if n >= 20}
    assert set(ids_on(client, "/people?segment=hot")) <= hot


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/people?role=bogus", "role: one of developer, investor"),
        ("/people?category=Fintech", "no category"),
        ("/startups?role=investor", "no role"),
        ("/people?segment=bogus", "segment: one of cold, warm, hot"),
        ("/startups?state=bogus", "state: one of listed, hidden"),
        ("/startups?order=bogus", "order: one of name, least, most, busy"),
        ("/people?after=bogus", "after: a UUID"),
        ("/releases/compare?before=bogus", "before: one of "),
        ("/releases/compare?after=bogus", "after: one of "),
        (f"/startups/{NOBODY}?from-0=bogus", "from-0: a whole number"),
        (f"/people/{NOBODY}?shown=bogus", "shown: the address of a link “Earlier”"),
        (f"/people/{NOBODY}?history=2026-01-01T00:00:00Z~bogus~like", "history: the address of a link “Earlier”"),
        (f"/people/{NOBODY}?compare=bogus", "release: one of "),
    ],
)
def test_an_unknown_value_of_a_filter_is_refused_and_says_what_was_expected(
    client: FlaskClient, execute: Execute, path: str, expected: str
) -> None:
    execute("INSERT INTO users (id, role, created_at) VALUES (%s, 'investor', now())", NOBODY)
    execute("INSERT INTO startups (id, name, created_at) VALUES (%s, 'Newborn', now())", NOBODY)
    page = text_of(client, path, 400)
    assert f"Expected {expected}" in page and "Received: " in page


def test_a_category_that_nothing_has_stays_visible(client: FlaskClient) -> None:
    assert "<option selected>No such</option>" in client.get("/startups?category=No%20such").text


def test_an_id_leads_to_its_page(client: FlaskClient, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    answer = client.get("/people", query_string={"q": owner.upper()})
    assert answer.status_code == 303 and answer.headers["Location"] == f"/people/{owner}"
    assert owner in ids_on(client, f"/people?q={owner[:9]}")


def test_a_person_has_profile_list_and_history(client: FlaskClient, execute: Execute, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    first = shown(client, owner)[0]
    execute("UPDATE users SET name = 'Ada <i>Lovelace' WHERE id = %s", owner)
    execute("UPDATE startups SET name = 'Engine Works' WHERE id = %s", first)
    page = text_of(client, f"/people/{owner}")
    assert "Ada <i>Lovelace" in page and "Ada &lt;i&gt;Lovelace" in client.get(f"/people/{owner}").text
    assert "Engine Works" in page and "What the models say" in page and "ALS" in page
    rows = client.get(f"/people/{owner}").text
    listed = re.search(r'<table class="list">.*?</table>', rows, re.DOTALL)
    assert listed is not None
    assert re.findall(r'href="/startups/([0-9a-f-]{36})"', listed.group(0)) == shown(client, owner)[:20]


def test_a_list_has_the_rows_of_the_latest_events_that_the_api_gives(client: FlaskClient, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    told = client.get(f"/api/recommendations/{SURFACE}/{owner}/because?limit=5").get_json()["because"]
    lines = re.findall(r"<li>Similar to <a.*?</li>", client.get(f"/people/{owner}").text, re.DOTALL)
    found = [re.findall(r'href="/startups/([0-9a-f-]{36})"', line) for line in lines]
    assert told and found == [[row["id"], *(s["id"] for s in row["list"]["startups"])] for row in told]
    assert all(f"({row['type']})" in line for row, line in zip(told, lines, strict=True))


def test_history_is_paged_by_time(client: FlaskClient, settings: Settings, execute: Execute, person: Person) -> None:
    owner, began = person(Role.DEVELOPER, 4), datetime(2026, 1, 1, tzinfo=UTC)
    execute("DELETE FROM user_interactions WHERE user_id = %s", owner)
    for i in range(60):
        execute(
            "INSERT INTO user_interactions SELECT %s, id, 'like', %s FROM startups ORDER BY id LIMIT 1",
            owner,
            began + timedelta(hours=i // 2, seconds=i % 2),
        )
    seen, path = list[str](), f"/people/{owner}"
    while path:
        page = client.get(path).text
        history = page[page.index('id="history"') :]
        seen += re.findall(r'<td class="nowrap">([^<]+)</td><td><span class="badge ">like', history)
        found = re.search(r'href="([^"]+)">Earlier', history)
        path = unescape(found.group(1)) if found else ""
    assert len(seen) == 60 and seen == sorted(seen, reverse=True)


def test_why_not_takes_an_id_or_words(client: FlaskClient, execute: Execute, person: Person, company: Company) -> None:
    owner = person(Role.DEVELOPER, 4)
    listed = shown(client, owner)
    assert "at place 3" in text_of(client, f"/people/{owner}?why={listed[2]}")
    assert "is not in the list: withdrawn" in text_of(client, f"/people/{owner}?why={company(1)}")
    assert "does not know this id" in text_of(client, f"/people/{owner}?why={NOBODY}")
    assert "this is the id of the person whose list it is, and the list has startups" in text_of(
        client, f"/people/{owner}?why={owner}"
    )
    other = person(Role.DEVELOPER, 5)
    page = client.get(f"/people/{owner}?why={other}").text
    assert "this is the id of a person, and the list has startups" in page and f"/startups/{other}" not in page
    assert "No name has a word" in text_of(client, f"/people/{owner}?why=qqq")


def test_a_single_find_is_explained_at_once(
    client: FlaskClient, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = person(Role.DEVELOPER, 4)
    finds = [{"id": item, "name": f"Works {n}"} for n, item in enumerate(shown(client, owner)[:2])]
    monkeypatch.setattr(EntityPages, "_named", lambda *_: finds)
    assert "Which one? Works 0" in text_of(client, f"/people/{owner}?why=works")
    monkeypatch.setattr(EntityPages, "_named", lambda *_: finds[1:])
    assert "is in the list, at place 2" in text_of(client, f"/people/{owner}?why=works")


def test_what_answers_showed_is_on_both_sides(client: FlaskClient, execute: Execute, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    first, now = shown(client, owner)[0], datetime.now(UTC)
    execute(
        "INSERT INTO matchbook_answers (answer_id, surface, method, route, release, live, day) "
        "VALUES ('a1', %s, 'als', 'als', 'r1', false, '2026-01-01')",
        str(SURFACE),
    )
    for event, kind in (("e1", "impression"), ("e2", "click"), ("e3", "apply")):
        execute(
            "INSERT INTO matchbook_events (event_id, user_id, startup_id, type, at, answer_id, position) "
            "VALUES (%s, %s, %s, %s, %s, 'a1', 4)",
            event, owner, first, kind, now - timedelta(hours=1),
        )  # fmt: skip
    page = text_of(client, f"/people/{owner}")
    assert "apply, click" in page and "r1" in page
    page = text_of(client, f"/startups/{first}")
    assert "Startups for developers als 1 1 1 (100.0%) 1 0" in page


def test_a_startup_has_its_audience_and_both_lists(client: FlaskClient, planted: World, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    third = shown(client, owner)[2]
    page = client.get(f"/startups/{third}").text
    numbers = re.search(r'aria-label="Numbers of Lists whose.*?</table>', page, re.DOTALL)
    assert numbers is not None and re.findall(r"<td>\s*[1-9]", numbers.group()) and ".0" not in numbers.group()
    seen = page[page.index('id="seen"') :]
    owners = set()
    while True:
        owners |= set(
            re.findall(
                r'<td class="number">3</td><th scope="row">\s*<a class="entity" href="/people/([0-9a-f-]{36})"', seen
            )
        )
        found = re.search(r'href="([^"]+from-0[^"]+)">Next', seen)
        if owner in owners or found is None:
            break
        page = client.get(unescape(found.group(1))).text
        seen = page[page.index('id="seen"') :]
    assert owner in owners
    assert 'id="list-2"' in page and 'id="list-3"' in page


@pytest.mark.parametrize("kind", list(Similar))
def test_a_page_shows_who_is_similar(client: FlaskClient, person: Person, company: Company, kind: Similar) -> None:
    startups = kind is Similar.STARTUPS
    owner, path = (company(4), "startups") if startups else (person(Role.INVESTOR, 4), "people")
    listed = [place["id"] for place in client.get(f"/api/recommendations/{kind}/{owner}").get_json()[f"{kind.item}s"]]
    page = client.get(f"/{path}/{owner}").text
    section = page[page.index('id="similar"') : page.index('id="outcome"')]
    assert listed and all(f"/{path}/{id}" in section for id in listed)


def test_an_unknown_id_is_not_found_and_a_malformed_one_is_refused(client: FlaskClient) -> None:
    assert "People above finds others" in text_of(client, f"/people/{NOBODY}", 404)
    assert "a UUID such as" in text_of(client, "/startups/nonsense", 400)


def test_a_newcomer_has_a_page_before_the_next_build(client: FlaskClient, execute: Execute) -> None:
    execute("INSERT INTO users (id, role, name, created_at) VALUES (%s, 'investor', 'New Person', now())", NOBODY)
    page = text_of(client, f"/people/{NOBODY}")
    assert "New Person" in page and "came after its cutoff" in page


def test_startups_that_nobody_is_shown_come_first(client: FlaskClient, planted: World) -> None:
    path = "/startups?order=least&state=listed"
    page = client.get(path).text
    cells = re.findall(r'<td class="number">(?:<span class="badge open">(none)</span>|([\d\u202f]+))</td>', page)
    numbers = [int(count.replace("\u202f", "")) if count else 0 for _, count in cells]
    counts = [sum(numbers[i + 1 : i + 3]) for i in range(0, len(numbers), 3)]  # people met, developers, investors
    assert counts and counts == sorted(counts)


def test_what_nobody_is_shown_leads_to_whom_to_ask(
    client: FlaskClient, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen, seen = shown(client, person(Role.DEVELOPER, 4))[0], EntityPages._seen

    def by_nobody(self: EntityPages, surface: Surface, id: str, first: int) -> Seen | None:
        return Seen(surface, 0, 0, 0, []) if id == unseen else seen(self, surface, id, first)

    monkeypatch.setattr(EntityPages, "_seen", by_nobody)
    page = client.get(f"/startups/{unseen}").text
    asked = re.findall(rf'href="(/people/[0-9a-f-]{{36}}\?why={unseen})#why"', page[page.index('id="seen"') :])
    assert "Nothing hides it" in page and asked
    assert "in the list" in text_of(client, asked[0])
    monkeypatch.setattr(EntityPages, "_telling", lambda *_: [])
    assert 'href="/people?role=investor">Choose somebody' in client.get(f"/startups/{unseen}").text


def test_what_nobody_may_see_says_why(client: FlaskClient, company: Company) -> None:
    assert "Nobody: withdrawn, so no list may show it" in text_of(client, f"/startups/{company(1)}")


def test_two_releases_are_compared_as_a_whole(client: FlaskClient, publish: Publish, start: Start) -> None:
    assert "only one release" in text_of(client, "/releases/compare")
    before = str(client.get("/api/releases").get_json()["live"])
    after = publish(day=11, backwards=True)
    client = start().test_client()
    page = text_of(client, "/releases/compare")
    assert before in page and after in page and "Gained most" in page and "Same in the first 10" in page
    assert f"Similar lists are not compared here: python -m pipelines compare {before} {after}" in page
    same = text_of(client, f"/releases/compare?before={after}&after={after}")
    assert "Gained most None." in same


def test_without_postgresql_pages_still_show_the_release(
    publish: Publish, rows: str, start: Start, settings: Settings, person: Person, execute: Execute
) -> None:
    publish()
    client = start(settings.layered({"database_url": "", "reader_database_url": ""}, "given")).test_client()
    owner = person(Role.DEVELOPER, 4)
    page = text_of(client, f"/people/{owner}")
    assert "no PostgreSQL is known" in page and "The models do not say why" in page
    assert "no PostgreSQL is known" in text_of(client, "/people")


def test_somebody_of_another_role_is_said_to_be_in_no_list(publish: Publish, start: Start, execute: Execute) -> None:
    publish()
    execute("INSERT INTO users (id, role, name, created_at) VALUES (%s, 'founder', 'A Founder', now())", NOBODY)
    said = words(start().test_client().get(f"/people/{NOBODY}").text)
    assert "In no list: only developers and investors" in said and "No stored release says" not in said


def test_the_reader_role_may_ask_every_question_of_the_pages(settings: Settings) -> None:
    database = Database(settings)
    try:
        now = datetime.now(UTC)
        for entity in Entity:
            assert database.profile(entity, NOBODY) is None
            assert database.shown(entity, NOBODY, (now, "~"), 5) == []
            assert database.earned(entity, NOBODY, now - timedelta(days=1), now) == []
        assert database.history(NOBODY, (now, NOBODY, "~"), 5) == [] and database.activity(NOBODY, now, now) == []
    finally:
        database.close()
