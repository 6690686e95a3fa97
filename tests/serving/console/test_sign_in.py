"""Sign in with a key of the scope admin; only pages accept the cookie; forms of other sites are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.keys import ApiKey, Scope, encode_keys, new_key
from models.settings.settings import Settings
from serving.http.callers import COOKIE
from tests.serving.conftest import Publish, Start

OURS = {"Sec-Fetch-Site": "same-origin"}
Make = Callable[..., str]


@pytest.fixture
def make(settings: Settings) -> Make:
    """Replace the keys of the reader by one: `make(scope, until=None)` returns it."""

    def write(scope: Scope, until: datetime | None = None) -> str:
        key, text = new_key("operator", [scope], datetime.now(UTC), until)
        hold(settings, key)
        return text

    return write


def hold(settings: Settings, *keys: ApiKey) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    aside = settings.api_keys_file.with_suffix(".aside")
    aside.write_text(encode_keys(keys))
    aside.chmod(0o600)
    aside.rename(settings.api_keys_file)


@pytest.fixture
def client(start: Start, publish: Publish, settings: Settings) -> FlaskClient:
    publish()
    return start(replace(settings, api_keys="on")).test_client()


def token(page: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None, page
    return found[1]


def sign_in(client: FlaskClient, key: str, aim: str = "/", base: str = "http://localhost") -> TestResponse:
    form = {"key": key, "next": aim, "form_token": token(client.get("/sign-in", base_url=base).text)}
    return client.post("/sign-in", data=form, headers=OURS, base_url=base)


def test_a_page_leads_to_sign_in_and_back(client: FlaskClient, make: Make) -> None:
    key = make(Scope.ADMIN)
    refused = client.get("/lists?x=1")
    assert (refused.status_code, refused.location) == (303, "/sign-in?next=/lists%3Fx%3D1")
    page = client.get(refused.location)
    assert page.status_code == 200 and 'value="/lists?x=1"' in page.text
    answer = sign_in(client, key, "/lists?x=1")
    assert (answer.status_code, answer.location) == (303, "/lists?x=1")
    assert client.get("/").status_code == 200
    assert "Sign out" in client.get("/").text


def test_the_cookie_is_for_this_site_and_this_session_only(client: FlaskClient, make: Make) -> None:
    key = make(Scope.ADMIN)
    cookie = sign_in(client, key).headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}={key};") and "Path=/" in cookie
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert "Secure" not in cookie and "Expires" not in cookie and "Max-Age" not in cookie
    assert "Secure" in sign_in(client, key, base="https://localhost").headers["Set-Cookie"]


def test_only_pages_accept_the_cookie(client: FlaskClient, make: Make) -> None:
    sign_in(client, make(Scope.ADMIN))
    for path in ("/api/releases", "/health", "/metrics", "/api/recommendations/startups/for-developer/popular"):
        assert client.get(path).status_code == 401, path
    assert client.get("/nowhere", headers={"Accept": "text/html"}).status_code == 404


@pytest.mark.parametrize("scope", [Scope.READ, Scope.EVENTS])
def test_a_key_without_the_scope_admin_does_not_sign_in(client: FlaskClient, make: Make, scope: Scope) -> None:
    key = make(scope)
    answer = sign_in(client, key)
    assert answer.status_code == 403 and "scope admin" in answer.text and "Set-Cookie" not in answer.headers
    assert key not in answer.text
    assert client.get("/", headers={"X-API-Key": key}).status_code == 403


def test_unknown_expired_and_revoked_keys_lead_to_sign_in(client: FlaskClient, make: Make, settings: Settings) -> None:
    gone, expired = make(Scope.ADMIN), make(Scope.ADMIN, until=datetime.now(UTC) - timedelta(seconds=1))
    for key in (gone, expired, "nonsense"):
        assert sign_in(client, key).status_code == 401
    sign_in(client, make(Scope.ADMIN))
    hold(settings)
    answer = client.get("/")
    assert answer.status_code == 303 and client.get_cookie(COOKIE) is None


def test_signing_out_forgets_the_key(client: FlaskClient, make: Make) -> None:
    sign_in(client, make(Scope.ADMIN))
    form = {"form_token": token(client.get("/").text)}
    assert client.post("/sign-out", data=form, headers=OURS).location == "/sign-in"
    assert client.get_cookie(COOKIE) is None and client.get("/").status_code == 303


@pytest.mark.parametrize("aim", ["//evil.example", "https://evil.example/", "/\\evil.example", "evil", "/\n/x"])
def test_signing_in_leads_to_pages_of_this_reader_only(client: FlaskClient, make: Make, aim: str) -> None:
    assert sign_in(client, make(Scope.ADMIN), aim).location == "/"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "http://localhost"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_a_form_of_another_site_is_refused(
    client: FlaskClient, make: Make, headers: dict[str, str], status: int
) -> None:
    sign_in(client, make(Scope.ADMIN))
    form = {"form_token": token(client.get("/").text)}
    assert client.post("/sign-out", data=form, headers=headers).status_code == status


def test_a_form_needs_the_token_of_its_key(client: FlaskClient, make: Make) -> None:
    sign_in(client, make(Scope.ADMIN))
    mine = token(client.get("/").text)
    sign_in(client, make(Scope.ADMIN))
    for form in ({}, {"form_token": mine}, {"form_token": "é"}):
        assert client.post("/sign-out", data=form, headers=OURS).status_code == 403
    assert client.post("/sign-out", data={"form_token": token(client.get("/").text)}, headers=OURS).status_code == 303


def test_without_keys_pages_are_open_on_loopback_names_only(start: Start, publish: Publish) -> None:
    """A page of another name that resolves to this machine (DNS rebinding) posts nothing."""
    publish()
    client = start().test_client()
    page = client.get("/")
    assert page.status_code == 200 and "Sign out" not in page.text
    assert client.get("/sign-in").location == "/"
    form = {"form_token": "wrong"}
    assert "names" not in client.post("/sign-out", data=form, headers=OURS).text
    refused = client.post("/sign-out", data=form, headers=OURS, base_url="http://evil.example")
    assert refused.status_code == 403
