"""The development server for Cosmos DB answers any request, and has a word for what it cannot do."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.devservers.cosmos_requests import CROSSES, PARTITION_KEY, RANGE, Here, load

part = st.sampled_from(
    [
        "dbs",
        "colls",
        "docs",
        "offers",
        "users",
        "sprocs",
        "pkranges",
        "conflicts",
        "shop",
        "orders",
        "1",
        "_faults",
        "é",
    ]
)
path = st.one_of(
    st.lists(part, max_size=7).map("/".join),
    st.sampled_from([Here.docs, f"{Here.docs}/1", "dbs/shop/colls", "dbs/shop/colls/orders/pkranges", "_faults"]),
)
value = st.sampled_from(["", "0", "1", "-1", "True", '["a"]', "[]", "[{}]", "[1,2]", "*", '"1"', "x", "0:0#5", "é"])
name = st.sampled_from(
    [
        PARTITION_KEY,
        RANGE,
        CROSSES,
        "a-im",
        "content-type",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "x-ms-continuation",
        "x-ms-cosmos-is-batch-request",
        "x-ms-cosmos-is-query-plan-request",
        "x-ms-documentdb-is-upsert",
        "x-ms-max-item-count",
        "x-ms-offer-throughput",
        "x-ms-cosmos-offer-autopilot-settings",
        "x-ms-session-token",
        "x-ms-start-epk",
    ]
)
headers = st.one_of(
    st.dictionaries(name, value, max_size=5),
    st.just({"a-im": "Incremental Feed", RANGE: "0"}),
    st.just({"content-type": "application/query+json", CROSSES: "True"}),
    st.just({"x-ms-cosmos-is-batch-request": "True", PARTITION_KEY: '["a"]'}),
)
leaf = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["1", "a", "Create", "Patch", "split"]))
field = st.sampled_from(
    [
        "id",
        "key",
        "query",
        "parameters",
        "name",
        "operationType",
        "resourceBody",
        "operations",
        "op",
        "path",
        "value",
        "condition",
        "fault",
        "range",
        "times",
        "partitionKey",
        "paths",
        "version",
        "kind",
        "ttl",
        "defaultTtl",
        "indexingPolicy",
        "uniqueKeyPolicy",
        "content",
    ]
)
body = st.recursive(
    leaf, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(field, inner, max_size=5)), max_leaves=8
)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]), path, headers, body)
def test_any_request_is_answered(method: str, path: str, headers: dict[str, str], body: Any) -> None:
    here = Here()
    here.create("a", "1")
    answer = here.ask(method, path, body, headers)
    assert answer.status < 500, load(answer)
    if answer.status >= 400:
        assert load(answer)["message"]
