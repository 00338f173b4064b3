"""A quick part of Microsoft's own tests of azure-cosmos, and a client in JavaScript; `./dev cosmos-tests` runs all."""

import pytest

from devservers.cosmos_tests import javascript
from devservers.cosmos_tests.judging import judged
from devservers.cosmos_tests.running import Outcome, run
from devservers.cosmos_tests.source import Unavailable, downloaded

LONG = "invalid_batch_sizes"  # it takes seconds to make what is too large; `test_limits` tests the same
QUICK = ("test_transactional_batch.py", "test_transactional_batch_async.py", "test_feed_range.py")


@pytest.mark.slow
def test_batches_and_feed_ranges() -> None:
    try:
        tests = downloaded()
    except Unavailable as error:
        pytest.skip(str(error))
    outcomes = run(tests, QUICK, f"not {LONG}")
    for file in QUICK:
        verdict = judged(file, [one for one in outcomes if one.file == file], whole=False)
        assert not verdict.faults, verdict.summary
    assert sum(one.outcome == "passed" for one in outcomes) >= 8 + 8 + 18


@pytest.mark.slow
@pytest.mark.skipif(javascript.missing() is not None, reason=str(javascript.missing()))
def test_a_client_in_another_language() -> None:
    done = javascript.run()
    assert done.returncode == 0, done.stdout + done.stderr


def outcome(name: str, outcome: str, file: str = "test_query_async.py") -> Outcome:
    return Outcome(file, name, outcome, "why")


def test_every_failure_needs_a_reason() -> None:
    passed = [outcome(f"test_{number}", "passed") for number in range(40)]
    known = outcome("test_populate_index_metrics_async", "failed")
    good = judged("test_query_async.py", [*passed, known, outcome("test_s", "skipped")], whole=True)
    assert (len(good.known), good.faults) == (1, [])
    unknown = judged("test_query_async.py", [*passed, outcome("test_else", "failed")], whole=True)
    assert unknown.faults == ["test_else failed: why"]
    mended = judged("test_query_async.py", [*passed, outcome(known.name, "passed")], whole=True)
    assert mended.faults == [f"{known.name} passes now: take it off the list"]
    few = judged("test_query_async.py", passed[:5], whole=True)
    assert few.faults == ["5 passed, fewer than 27"]
