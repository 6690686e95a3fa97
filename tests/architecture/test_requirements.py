"""Each requirement names code and tests that exist, and no text names a requirement that is not in the list."""

from __future__ import annotations

import difflib

from tests.architecture.requirements import GROUPS, ID, collected, is_there, meant_by, requirements
from tests.architecture.tree import name, tracked

#: Requirements without a test: about times, or rejected. Never add to this list, only remove.
WITHOUT_TEST = {"I14", "I15", "I16", "I17", "I18", "I20", "I22", "N04"}


def test_ids_are_unique_in_order_and_have_a_group() -> None:
    ids = [r.id for r in requirements()]
    assert ids == sorted(set(ids)) and {i[0] for i in ids} == set(GROUPS)
    assert all(ID.fullmatch(i) for i in ids)


def test_every_row_has_a_sentence_and_code_that_is_there() -> None:
    bare = [r.id for r in requirements() if not r.text.endswith(".") or not r.code]
    assert not bare, f"each needs a sentence and its code: {bare}"
    gone = {r.id: missing for r in requirements() if (missing := [c for c in r.code if not is_there(c)])}
    assert not gone, f"not there; run `python -m tests.architecture.requirements`: {gone}"


def test_every_test_that_is_named_is_collected() -> None:
    wrong = []
    names = [test.rpartition("::")[2] for test in collected()]
    for r in requirements():
        for wanted in r.tests:
            if len(found := meant_by(wanted)) != 1:
                near = difflib.get_close_matches(wanted.rpartition("::")[2], names, 3)
                wrong.append(f"{r.id}: {wanted} means {found or 'no test'}; near: {near}")
    assert not wrong, "run `python -m tests.architecture.requirements`:\n" + "\n".join(wrong)


def test_what_has_no_test_is_known_and_has_a_benchmark_or_a_reason() -> None:
    assert {r.id for r in requirements() if not r.tests} == WITHOUT_TEST
    bare = [r.id for r in requirements() if not (r.tests or r.benchmark or r.note)]
    assert not bare, f"each needs a test, a benchmark or a note with the reason: {bare}"
    gone = {r.id: r.benchmark for r in requirements() if r.benchmark and not is_there(r.benchmark)}
    assert not gone, f"no such benchmark: {gone}"


def test_no_text_names_an_unknown_requirement() -> None:
    known = {r.id for r in requirements()}
    suffixes = (".py", ".md", ".sql", ".yml", ".lua")
    texts = [p for p in tracked() if p.suffix in suffixes or p.name == "matchbook.toml"]
    found = {name(p): unknown for p in texts if (unknown := set(ID.findall(p.read_text(errors="replace"))) - known)}
    assert not found, f"no such requirement in requirements.csv: {found}"
