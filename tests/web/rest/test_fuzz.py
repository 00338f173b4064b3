"""Made-up requests to generated APIs: every response is a documented one, and nobody sees a stranger's row."""

from pathlib import Path

import pytest

from generated.fuzz import fuzz

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("app", "phases", "statuses"),
    [
        ("quickstart:bank", "examples,coverage", {200, 400, 404, 405, 412, 415, 422}),
        ("generated.rooms:rooms", "examples,fuzzing", {200, 201, 400, 422}),
    ],
)
def test_a_generated_api_answers_as_it_is_described(tmp_path: Path, app: str, phases: str, statuses: set[int]) -> None:
    exit_status, answers = fuzz(app, tmp_path, examples=10, phases=phases)
    assert exit_status == 0
    assert answers.total() > 100
    assert not [status for _, status in answers if status >= 500]
    assert statuses <= {status for _, status in answers}
