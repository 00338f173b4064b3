"""A quick part of Microsoft's own tests of azure-cosmos; `./dev cosmos-tests` runs all."""

import pytest

from devservers.cosmos_tests.judging import judged
from devservers.cosmos_tests.running import run
from devservers.cosmos_tests.source import Unavailable, downloaded

QUICK = ("test_transactional_batch.py", "test_transactional_batch_async.py", "test_feed_range.py")


@pytest.mark.slow
def test_batches_and_feed_ranges() -> None:
    try:
        tests = downloaded()
    except Unavailable as error:
        pytest.skip(str(error))
    outcomes = run(tests, QUICK)
    for file in QUICK:
        verdict = judged(file, [one for one in outcomes if one.file == file], whole=True)
        assert not verdict.faults, verdict.summary
