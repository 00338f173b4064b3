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
    "test_crud_subpartition",
    "test_query_cross_partition",
    "test_query_feed_range",
    "test_read_items",
    "test_partition_key",
    "test_session",
    "test_change_feed_split",
    "test_partition_split_query",
)  # each with its twin of the asynchronous SDK, if there is one

LEAST_PASSED = {
    "test_transactional_batch": 9,
    "test_transactional_batch_async": 9,
    "test_change_feed": 6,
    "test_change_feed_async": 6,
    "test_feed_range": 18,
    "test_query": 27,
    "test_query_async": 27,
    "test_change_feed_split": 1,
}

SCRIPTS = "the server keeps procedures and triggers, but runs no JavaScript"
TOKENS = "the server knows the account's key alone: a permission has no resource token"
PLACES = "the server has no functions for places on the Earth"
INDEXES = "the server has no indexes, so it reports nothing about them"
REGIONS = "the test puts a second region at an address of its own, where nothing listens"
FOREIGN = "the test goes on with a continuation token that the real service gave"
CONFLICTS = "with one region there are no conflicts: the list of them is empty, whatever is asked of it"
NO_FILE = "the source package lacks a file that the test reads"
QUICK = "the test wants a time-out of almost no time, in which the same machine has often connected or answered"

EXPECTED: dict[str, dict[str, str]] = {
    "test_query": {
        "test_partition_scoped_count_is_index_only": INDEXES,
        "test_populate_index_metrics": INDEXES,
    },
    "test_crud": {
        "test_authorization": TOKENS,
        "test_client_level_read_timeout_on_queries_and_point_operations": QUICK,
        "test_client_request_timeout_when_connection_retry_configuration_specified": QUICK,
        "test_geospatial_index": PLACES,
        "test_partitioned_collection_execute_stored_procedure": SCRIPTS,
        "test_partitioned_collection_permissions": TOKENS,
        "test_point_operation_read_timeout": QUICK,
        "test_policy_level_read_timeout_on_queries_and_point_operations": QUICK,
        "test_read_timeout": QUICK,
        "test_script_logging_execute_stored_procedure": SCRIPTS,
        "test_stored_procedure_functionality": SCRIPTS,
    },
    "test_crud_container": {
        "test_partitioned_collection_path_parser": NO_FILE,
        "test_partitioned_collection_permissions": TOKENS,
        "test_trigger_functionality": SCRIPTS,
    },
    "test_query_cross_partition": {"test_populate_index_metrics": INDEXES},
    "test_query_feed_range": {"test_query_with_static_continuation": FOREIGN},
    "test_partition_key": {"test_with_null_pk": CONFLICTS},
    "test_partition_key_async": {},
    "test_session": {"test_session_token_mwr_for_ops": REGIONS},
    "test_session_async": {},
}  # by file and test, both without the `_async` of their twins, unless the twin has a line of its own

MAY_PASS = (QUICK,)
