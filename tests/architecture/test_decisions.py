"""Decision records are numbered by date, have a head and all parts, and link to what replaced them."""

from __future__ import annotations

import re
from datetime import date

from tests.architecture.generated import RECORDS, decisions
from tests.paths import ROOT


def test_every_file_is_a_record_with_a_number_and_a_head() -> None:
    found = decisions()
    pages = {str(p.relative_to(ROOT / RECORDS)) for p in (ROOT / RECORDS).rglob("*") if p.is_file()}
    assert pages == {"README.md", *(d.file for d in found)}
    assert [d.number for d in found] == list(range(1, len(found) + 1))
    assert all(d.file.startswith(f"{d.number:04d}-") for d in found)


def test_numbers_follow_dates() -> None:
    dates = [date.fromisoformat(d.date) for d in decisions()]
    assert dates == sorted(dates)


def test_a_status_names_later_records() -> None:
    files = {d.number: d.file for d in decisions()}
    for d in decisions():
        links = [(int(number), file) for number, file in re.findall(r"\[(\d{4})\]\(([^)]+)\)", d.status)]
        assert bool(links) == (d.status != "accepted"), f"{d.file}: {d.status}"
        assert all(number > d.number and files.get(number) == file for number, file in links), f"{d.file}: {d.status}"
