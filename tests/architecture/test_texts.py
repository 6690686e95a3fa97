"""Texts agree with the code: the heads of queries, and the commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.tree import name, python, tracked
from tests.paths import ROOT

README = ROOT / "README.md"
QUERIES = [p for p in tracked() if p.suffix == ".sql" and "queries" in p.parts]
SCRIPTS = [p for p in tracked() if p.suffix == ".sql" and "queries" not in p.parts]
HEAD = ("Question", "Parameters", "Columns", "Order", "Index")


def test_every_command_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"`make ([a-z-]+)", README.read_text()))
    assert used and used <= targets, f"the Makefile lacks {used - targets}"


@pytest.mark.parametrize("path", QUERIES, ids=name)
def test_every_query_says_what_it_asks(path: Path) -> None:
    head = re.match(r"(?:--.*\n)+", path.read_text())
    assert head is not None, f"{name(path)} must open with a comment"
    for word in HEAD:
        assert re.search(rf"^-- {word}:", head[0], re.MULTILINE), f"{name(path)}: its head lacks '-- {word}:'"


@pytest.mark.parametrize("path", QUERIES, ids=name)
def test_no_query_asks_the_clock(path: Path) -> None:
    body = re.sub(r"--.*", "", path.read_text()).lower()
    assert not re.search(r"\bnow\(\)|current_(?:date|timestamp|time)\b|clock_timestamp|'now'", body), (
        f"{name(path)}: a cutoff is a parameter"
    )


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_every_script_begins_with_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("-- "), f"{name(path)} must open with a comment"


def test_only_settings_read_the_environment() -> None:
    allowed = {
        "models/settings/load.py",
        "models/__init__.py",
        "serving/counters.py",
        "pipelines/cli/first_build.py",  # the folder of prometheus_client: not a setting of Matchbook
        "pipelines/airflow_records.py",  # passes its environment to `airflow db clean`
    }
    found = [
        name(p)
        for p in python("models", "serving", "pipelines", "sql")
        if re.search(r"\bos\.(?:environ|getenv)\b", p.read_text()) and "local" not in p.parts
    ]
    assert set(found) <= allowed, "take a Settings; only models/settings/load.py reads the environment"


def test_documents_link_to_what_is_there() -> None:
    for page in [p for p in tracked() if p.suffix == ".md"]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{name(page)} links to {target}, which is not there"


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes for the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_documents_link_to_headings_that_are_there() -> None:
    for page in [p for p in tracked() if p.suffix == ".md"]:
        for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)#([^)\s]+)\)", page.read_text()):
            aim = page.parent / target if target else page
            assert anchor in _anchors(aim), (
                f"{name(page)} links to {target}#{anchor}; {name(aim.resolve())} has no such heading"
            )
