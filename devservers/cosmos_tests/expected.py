"""Which of their tests are run, how many must pass, and which fail for a reason that is known."""

from __future__ import annotations

FILES = (
    "test_transactional_batch",
    "test_change_feed",
    "test_feed_range",
    "test_query",
    "test_crud",
    "test_crud_container",
    "test_crud_database",
)  # each with its twin of the asynchronous SDK, if there is one

LEAST_PASSED = {
    "test_transactional_batch": 9,
    "test_transactional_batch_async": 9,
    "test_change_feed": 6,
    "test_change_feed_async": 6,
    "test_feed_range": 18,
    "test_query": 27,
    "test_query_async": 27,
}

EXPECTED: dict[str, dict[str, str]] = {}
