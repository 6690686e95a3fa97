"""Open the pages: files, headers, and errors as pages."""

from __future__ import annotations

import re

import pytest

from serving.console.files import FOLDER, KEPT
from tests.console_pages import PAGES
from tests.serving.conftest import Publish, Start
from tests.serving.console.kept import words

#: Addresses that answer with a part of a page, or need no key.
OTHERS = {"/building", "/building/failed", "/building/failing", "/sign-in"}


def test_the_list_of_pages_is_whole(start: Start) -> None:
    rules = [
        r for r in start().url_map.iter_rules() if r.endpoint.startswith("console.") and "GET" in (r.methods or ())
    ]
    assert {r.rule for r in rules if "<" not in r.rule} - OTHERS == {*PAGES}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_inline_script_or_style_and_its_files_are_there(
    start: Start, publish: Publish, path: str
) -> None:
    publish()
    client = start().test_client()
    page = client.get(path)
    assert page.status_code == 200 and page.content_type.startswith("text/html")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page.text)
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    assert files
    for file in files:
        answer = client.get(file)
        assert answer.status_code == 200 and answer.headers["Cache-Control"] == KEPT, file


def test_a_file_without_its_digest_is_not_kept_and_unknown_files_are_not_found(start: Start) -> None:
    client = start().test_client()
    assert {p.suffix for p in FOLDER.rglob("*") if p.is_file()} >= {".css", ".js", ".svg"}
    assert client.get("/static/console.css").headers["Cache-Control"] == "no-store"
    for path in ("/static/none.css", "/static/../pages.py", "/static/%2e%2e/"):
        assert client.get(path).status_code == 404, path


def test_a_browser_gets_errors_as_a_page_and_a_program_as_json(start: Start) -> None:
    client = start().test_client()
    page = client.get("/nowhere", headers={"Accept": "text/html,*/*"})
    said = words(page.text)
    assert page.status_code == 404 and "You asked for /nowhere . The address may be mistyped" in said
    assert "Expected" not in said and "There is no such page" in said
    deleted = client.delete("/", headers={"Accept": "text/html"})
    assert deleted.status_code == 405 and "You asked for DELETE / ." in words(deleted.text)
    for answer in (client.get("/nowhere"), client.get("/api/nowhere", headers={"Accept": "text/html"})):
        assert answer.get_json()["error"]["code"] == "not_found"


def test_a_hostile_address_is_escaped(start: Start) -> None:
    page = start().test_client().get("/<script>alert(1)", headers={"Accept": "text/html"})
    assert "<script>alert" not in page.text and "&lt;script&gt;alert(1)" in page.text
