"""Open the pages: files, headers, and errors as pages."""

from __future__ import annotations

import re

import pytest

from serving.console.files import FOLDER, KEPT
from tests.serving.conftest import Publish, Start

#: Pages that answer without anything behind them.
PAGES = ("/", "/lists")


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


def test_the_overview_names_the_live_release_and_its_age(start: Start, publish: Publish) -> None:
    release = publish()
    page = start().test_client().get("/").text
    assert release in page and ">live<" in page and "Age" in page


def test_a_house_without_a_release_still_has_an_overview(start: Start) -> None:
    page = start().test_client().get("/")
    assert page.status_code == 200 and "no release" in page.text.lower()


def test_a_browser_gets_errors_as_a_page_and_a_program_as_json(start: Start) -> None:
    client = start().test_client()
    page = client.get("/nowhere", headers={"Accept": "text/html,*/*"})
    assert page.status_code == 404 and "<h1>" in page.text and "/nowhere" in page.text
    for answer in (client.get("/nowhere"), client.get("/api/nowhere", headers={"Accept": "text/html"})):
        assert answer.get_json()["error"]["code"] == "not_found"
    assert client.delete("/", headers={"Accept": "text/html"}).status_code == 405


def test_a_hostile_address_is_escaped(start: Start) -> None:
    page = start().test_client().get("/<script>alert(1)", headers={"Accept": "text/html"})
    assert "<script>alert" not in page.text and "&lt;script&gt;alert(1)" in page.text
