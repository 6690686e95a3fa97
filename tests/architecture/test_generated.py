"""Generated tables in documents match the declarations."""

from __future__ import annotations

import pytest

from tests.architecture.generated import TABLES, filled
from tests.paths import ROOT


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_as_declared(name: str) -> None:
    text = (ROOT / TABLES[name][0]).read_text()
    assert filled(name, text) == text, f"{TABLES[name][0]}: run `python -m tests.architecture.generated`"
