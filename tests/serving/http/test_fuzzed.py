"""Send generated requests: /openapi.json describes every answer."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as effort
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.conftest import Publish, Start

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
EXAMPLES = 5  # per operation and mode; a soak run has more


def test_every_answer_is_as_described(start: Start, publish: Publish, rows: str) -> None:
    publish()
    schema = schemathesis.openapi.from_wsgi("/openapi.json", start())
    asked = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        for mode in MODES:
            asked += fuzz(operation, mode)
    assert asked > 300


def fuzz(operation: Any, mode: Any) -> int:
    """Send generated calls of one operation. Return their number."""
    calls = 0

    @effort(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        nonlocal calls
        calls += 1
        case.call_and_validate(checks=CHECKS)

    if mode is MODES[0] or operation.query or operation.path_parameters or operation.body:
        one()
    return calls
