"""The development server for Cosmos DB: documents, batches and what they refuse."""

import json
import time
from pathlib import Path

import pytest

from devservers.cosmos import items
from tests.devservers.cosmos_requests import PARTITION_KEY, Here, load


def test_a_document_is_created_read_replaced_and_deleted() -> None:
    here = Here()
    made = here.create("a", "1", total=5)
    assert here.point("GET", "a", "1").headers["etag"] == made["_etag"]
    replaced = here.point("PUT", "a", "1", {"id": "1", "key": "a", "total": 6})
    assert (replaced.status, load(replaced)["total"]) == (200, 6)
    assert load(replaced)["_etag"] != made["_etag"]
    assert here.point("DELETE", "a", "1").status == 204
    assert here.point("GET", "a", "1").status == 404


def test_keys_keep_equal_ids_apart() -> None:
    here = Here(ranges=3)
    for key in ("a", "b", "c"):
        here.create(key, "1", mine=key)
    assert [load(here.point("GET", key, "1"))["mine"] for key in ("a", "b", "c")] == ["a", "b", "c"]


def test_an_etag_guards_each_kind_of_write() -> None:
    here = Here()
    old = here.create("a", "1")["_etag"]
    new = here.point("PUT", "a", "1", {"id": "1", "key": "a"}, if_match=old).headers["etag"]
    document = {"id": "1", "key": "a"}
    assert here.point("PUT", "a", "1", document, if_match=old).status == 412
    assert here.point("DELETE", "a", "1", if_match=old).status == 412
    upsert = {"x-ms-documentdb-is-upsert": "True", "if-match": old, PARTITION_KEY: '["a"]'}
    assert here.ask("POST", here.docs, document, upsert).status == 412
    assert here.point("GET", "a", "1").headers["etag"] == new
    assert here.point("GET", "a", "1", if_none_match=new).status == 304
    assert here.point("GET", "a", "1", if_none_match=old).status == 200


def test_etags_never_come_again() -> None:
    """Not even after a delete, a batch, or in the children of a split."""
    here = Here()
    seen = [here.create("a", "1")["_etag"]]
    here.point("DELETE", "a", "1")
    seen.append(here.create("a", "1")["_etag"])
    batch = [{"operationType": "Upsert", "resourceBody": {"id": str(number), "key": "a"}} for number in range(3)]
    seen += [result["eTag"] for result in load(here.batch("a", *batch))]
    here.fault("split")
    seen += [here.create(key, "new")["_etag"] for key in "abcdefgh"]
    assert len(set(seen)) == len(seen)


def test_what_is_there_already_is_a_conflict() -> None:
    here = Here()
    here.create("a", "1")
    assert here.point("POST", "a", body={"id": "1", "key": "a"}).status == 409
    assert here.point("POST", "b", body={"id": "1", "key": "b"}).status == 201


@pytest.mark.parametrize("document", [{"id": "1"}, {"id": "1", "key": "b"}, {"key": "a"}, {"id": 1, "key": "a"}, [1]])
def test_documents_that_cannot_be_stored(document: object) -> None:
    here = Here()
    assert here.point("POST", "a", body=document).status == 400
    assert here.changes().status == 304


def test_a_batch_is_done_as_a_whole_with_one_lsn() -> None:
    here = Here()
    head = here.create("a", "head", version=1)
    done = here.batch(
        "a",
        {"operationType": "Create", "resourceBody": {"id": "2", "key": "a"}},
        {
            "operationType": "Replace",
            "id": "head",
            "ifMatch": head["_etag"],
            "resourceBody": {"id": "head", "key": "a"},
        },
        {"operationType": "Read", "id": "2"},
    )
    assert done.status == 200
    assert [result["statusCode"] for result in load(done)] == [201, 200, 200]
    lsns = [document["_lsn"] for document in load(here.changes())["Documents"]]
    assert lsns == [2, 2]


def test_a_batch_that_fails_changes_nothing_and_says_which_operation_it_was() -> None:
    here = Here()
    head = here.create("a", "head", version=1)
    create = {"operationType": "Create", "resourceBody": {"id": "2", "key": "a"}}
    stale = {"operationType": "Replace", "id": "head", "ifMatch": '"stale"', "resourceBody": {"id": "head", "key": "a"}}
    again = {"operationType": "Create", "resourceBody": {"id": "head", "key": "a"}}
    missing = {"operationType": "Delete", "id": "nothing"}
    elsewhere = {"operationType": "Create", "resourceBody": {"id": "3", "key": "b"}}
    for operation, status in ((stale, 412), (again, 409), (missing, 404), (elsewhere, 400)):
        failed = here.batch("a", create, operation, create)
        assert failed.status == 207
        assert [result["statusCode"] for result in load(failed)] == [424, status, 424]
    assert here.point("GET", "a", "2").status == 404
    assert here.point("GET", "a", "head").headers["etag"] == head["_etag"]
    assert here.create("a", "3")["_etag"].endswith('2"'), "no LSN was used up"


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here()
    read = {"operationType": "Read", "id": "1"}
    here.create("a", "1")
    assert here.batch("a", *[read] * 100).status == 200
    assert here.batch("a", *[read] * 101).status == 400
    assert here.batch("a").status == 400
    text = "x" * (2 * 1024 * 1024)
    assert here.point("POST", "a", body={"id": "2", "key": "a", "text": text}).status == 413
    assert here.point("POST", "a", body={"id": "2", "key": "a", "text": text[:-100]}).status == 201
    parts = [
        {"operationType": "Create", "resourceBody": {"id": name, "key": "a", "t": text[:-900_000]}} for name in "34"
    ]
    assert here.batch("a", parts[0]).status == 200
    assert here.batch("a", *parts).status == 413


def test_a_patch_with_its_condition() -> None:
    here = Here()
    here.create("a", "1", total=5, tags=["x"])
    patch = {"condition": "FROM c WHERE c.total = 5", "operations": [{"op": "incr", "path": "/total", "value": 2}]}
    assert load(here.point("PATCH", "a", "1", patch))["total"] == 7
    assert here.point("PATCH", "a", "1", patch).status == 412
    more = {"operations": [{"op": "add", "path": "/tags/-", "value": "y"}, {"op": "remove", "path": "/total"}]}
    patched = load(here.point("PATCH", "a", "1", more))
    assert (patched["tags"], "total" in patched) == (["x", "y"], False)
    assert here.point("PATCH", "a", "1", {"operations": [{"op": "remove", "path": "/none"}]}).status == 400


def test_documents_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(defaultTtl=-1)
    here.create("a", "kept")
    here.create("a", "short", ttl=10)
    now = time.time()
    monkeypatch.setattr(items.time, "time", lambda: now + 9)
    assert here.point("GET", "a", "short").status == 200
    monkeypatch.setattr(items.time, "time", lambda: now + 11)
    assert here.point("GET", "a", "short").status == 404
    assert here.point("GET", "a", "kept").status == 200


@pytest.mark.parametrize("ttl", [0, -2, "10", 1.5, True])
def test_times_to_live_that_are_none(ttl: object) -> None:
    here = Here(defaultTtl=-1)
    assert here.point("POST", "a", body={"id": "1", "key": "a", "ttl": ttl}).status == 400
    container = {"id": "more", "partitionKey": {"paths": ["/key"]}, "defaultTtl": ttl}
    assert here.ask("POST", "/dbs/shop/colls", container).status == 400


def test_a_session_sees_its_own_writes_or_is_told_that_it_cannot() -> None:
    here = Here()
    here.create("a", "1")
    token = here.point("GET", "a", "1").headers["x-ms-session-token"]
    assert here.point("GET", "a", "1", x_ms_session_token=token).status == 200
    refused = here.point("GET", "a", "1", x_ms_session_token="0:0#99")
    assert (refused.status, refused.headers["x-ms-substatus"]) == (404, "1002")


def test_a_container_that_was_created_again_is_another() -> None:
    here = Here()
    before = load(here.ask("GET", "/dbs/shop/colls/orders"))
    here.create("a", "1")
    assert here.ask("DELETE", "/dbs/shop/colls/orders").status == 204
    here.ask("POST", "/dbs/shop/colls", {"id": "orders", "partitionKey": before["partitionKey"]})
    answer = here.point("GET", "a", "1", x_ms_cosmos_intended_collection_rid=before["_rid"])
    assert (answer.status, answer.headers["x-ms-substatus"]) == (400, "1024")
    assert here.point("GET", "a", "1").status == 404


def test_a_document_is_found_by_its_resource_id_too(tmp_path: Path) -> None:
    """Also after a batch that failed, a delete of the newest, and a restart: no number is given twice."""
    here = Here(folder=tmp_path)
    same = {"operationType": "Create", "resourceBody": {"id": "x", "key": "a"}}
    assert here.batch("a", same, same).status == 207
    former = here.create("a", "1")
    here.point("DELETE", "a", "1")
    here.account.close()
    here = Here.again(tmp_path)
    made = here.create("a", "2")
    found = here.ask("GET", made["_self"], headers={PARTITION_KEY: '["a"]'})
    assert load(found)["id"] == "2"
    assert made["_rid"] != former["_rid"]


def test_unique_keys() -> None:
    here = Here(uniqueKeyPolicy={"uniqueKeys": [{"paths": ["/mail"]}]})
    here.create("a", "1", mail="x")
    assert here.point("POST", "a", body={"id": "2", "key": "a", "mail": "x"}).status == 409
    assert here.point("POST", "b", body={"id": "2", "key": "b", "mail": "x"}).status == 201
    here.point("DELETE", "a", "1")
    assert here.point("POST", "a", body={"id": "2", "key": "a", "mail": "x"}).status == 201


def test_numbers_and_text_come_back_as_they_went_in() -> None:
    here = Here()
    fields = {"whole": 2**53, "float": 0.1, "one": 1.0, "text": "ü\u0000𝄞", "none": None}
    here.create("a", "1", **fields)
    read = load(here.point("GET", "a", "1"))
    assert json.dumps({name: read[name] for name in fields}) == json.dumps(fields)


def test_an_error_names_what_is_wrong() -> None:
    here = Here()
    for answer, words in (
        (here.ask("GET", "/dbs/none"), "'none' does not exist"),
        (here.ask("GET", f"{here.docs}/1"), "needs the partition key"),
        (here.ask("POST", "/dbs/shop/colls", {"id": "more"}), "partitionKey"),
        (here.ask("POST", "/dbs", {"id": "a/b"}), "'a/b'"),
        (here.ask("PUT", "/dbs/shop/nothing/x"), "not part of this development server"),
    ):
        assert words in load(answer)["message"]
