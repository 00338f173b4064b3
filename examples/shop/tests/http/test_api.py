"""The API as documented: whatever is sent, the answer is one that the OpenAPI document promises, and never a 500."""

from pathlib import Path

import pytest

from shop.tests.http.fuzz import fuzz

pytestmark = pytest.mark.slow


def test_the_answer_is_a_documented_one(tmp_path: Path) -> None:
    exit_status, answers = fuzz(tmp_path, examples=15)
    assert exit_status == 0
    assert answers.total() > 1_000
    assert not [status for _, status in answers if status >= 500]
    assert {200, 201, 202, 400, 404, 405, 415, 422} <= {status for _, status in answers}
