"""The API as documented: whatever is sent, the answer is one that the OpenAPI document promises, and never a 500."""

from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shop.tests.http.server import serving

PROMISES = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_the_answer_is_a_documented_one(tmp_path: Path) -> None:
    with serving("memory:", tmp_path) as server:
        api: Any = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
        operations = [found.ok() for found in api.get_all_operations()]
        assert len(operations) >= 20
        for operation, mode in product(operations, GenerationMode):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
            def answers(case: Any) -> None:
                case.call_and_validate(checks=PROMISES)

            with suppress(Unsatisfiable):  # where nothing can be sent that is wrong
                answers()
