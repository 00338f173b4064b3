"""The development server for Cosmos DB: the change feed, ranges that split and merge, and faults on request."""

from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from tests.devservers.cosmos_requests import PARTITION_KEY, RANGE, Here, ids, load

KEYS = [f"key-{number}" for number in range(40)]


def everything(here: Here, range: str, after: str | None = None, **headers: str) -> Iterator[dict[str, Any]]:
    """All changes of a range, page by page."""
    while (page := here.changes(range, after, **headers)).status == 200:
        after = page.headers["etag"]
        yield from load(page)["Documents"]
    assert page.status == 304


def test_changes_come_in_order_and_once() -> None:
    here = Here(ranges=3)
    for key in KEYS:
        here.create(key, "1", of=key)
    assert len(here.ranges()) == 3
    seen = {name: list(everything(here, name, x_ms_max_item_count="3")) for name in ("0", "1", "2")}
    assert sorted(document["of"] for documents in seen.values() for document in documents) == sorted(KEYS)
    for documents in seen.values():
        assert documents, "each range has some of them"
        assert [document["_lsn"] for document in documents] == list(range(1, len(documents) + 1))


def test_only_the_newest_version_of_a_document_is_there() -> None:
    here = Here()
    for document in ("1", "2"):
        here.create("a", document)
    here.point("PUT", "a", "1", {"id": "1", "key": "a", "changed": True})
    assert [(it["id"], it["_lsn"]) for it in everything(here, "0")] == [("2", 2), ("1", 3)]
    here.point("DELETE", "a", "2")
    assert [it["id"] for it in everything(here, "0")] == ["1"]
    assert here.changes(after='"3"').headers["etag"] == '"4"', "a delete moves the position"


def test_a_page_never_splits_a_batch() -> None:
    here = Here()
    for number in range(3):
        batch = [{"operationType": "Create", "resourceBody": {"id": f"{number}-{n}", "key": "a"}} for n in range(4)]
        assert here.batch("a", *batch).status == 200
    page = here.changes(x_ms_max_item_count="5")
    assert [document["_lsn"] for document in load(page)["Documents"]] == [1] * 4 + [2] * 4
    assert page.headers["etag"] == '"2"'
    assert len(load(here.changes(after='"2"'))["Documents"]) == 4


def test_where_a_feed_starts() -> None:
    here = Here()
    here.create("a", "old")
    now = here.changes(after="*")
    assert (now.status, now.headers["etag"]) == (304, '"1"')
    here.create("a", "new")
    assert ids(here.changes(after=now.headers["etag"])) == ["new"]
    assert ids(here.changes(if_modified_since=formatdate(0, usegmt=True))) == ["old", "new"]
    assert ids(here.changes(if_modified_since=formatdate(2**33, usegmt=True))) == []
    assert here.changes(after="nonsense").status == 400


def test_the_feed_of_all_versions_is_not_there() -> None:
    here = Here()
    here.create("a", "1")
    refused = here.ask("GET", here.docs, headers={"a-im": "Full-Fidelity Feed", RANGE: "0"})
    assert refused.status == 400
    assert "latest versions" in load(refused)["message"]


def test_the_changes_of_one_key() -> None:
    here = Here(ranges=2)
    for key in KEYS[:6]:
        here.create(key, key)
    found = here.ask("GET", here.docs, headers={"a-im": "Incremental Feed", PARTITION_KEY: f'["{KEYS[3]}"]'})
    assert ids(found) == [KEYS[3]]


def test_a_range_splits() -> None:
    """Its readers are sent to the children, which go on where it ended; documents and sessions stay where they are."""
    here = Here()
    for key in KEYS:
        here.create(key, "1", of=key)
    page = here.changes(x_ms_max_item_count="15")
    position, token = page.headers["etag"], here.point("GET", KEYS[0], "1").headers["x-ms-session-token"]
    here.fault("split")
    gone = here.changes(after=position)
    assert (gone.status, gone.headers["x-ms-substatus"]) == (410, "1002")
    children = here.ranges()
    assert [(it["id"], it["parents"]) for it in children] == [("1", ["0"]), ("2", ["0"])]
    assert (children[0]["minInclusive"], children[1]["maxExclusive"]) == ("", "FF")
    assert children[0]["maxExclusive"] == children[1]["minInclusive"]
    seen = [document["of"] for child in ("1", "2") for document in everything(here, child, position)]
    assert sorted(seen) == sorted(KEYS[15:])
    assert here.point("GET", KEYS[0], "1", x_ms_session_token=token).status == 200
    assert {here.create(key, "2")["_etag"][-5:-1] for key in KEYS[:1]} == {"0029"}, "a child goes on after LSN 40"


def test_a_part_of_a_range_can_be_read_alone() -> None:
    here = Here()
    for key in KEYS:
        here.create(key, "1", of=key)
    here.fault("split")
    low, high = here.ranges()
    here.fault("merge", range=1)
    (whole,) = here.ranges()
    assert (whole["id"], sorted(whole["parents"])) == ("3", ["0", "1", "2"])
    parts = [
        list(everything(here, "3", x_ms_start_epk=it["minInclusive"], x_ms_end_epk=it["maxExclusive"]))
        for it in (low, high)
    ]
    assert all(parts)
    assert sorted(document["of"] for part in parts for document in part) == sorted(KEYS)


def test_more_throughput_needs_more_ranges() -> None:
    here = Here()
    for key in KEYS:
        here.create(key, "1", of=key)
    (offer,) = load(here.ask("GET", "/offers"))["Offers"]
    offer["content"]["offerThroughput"] = 25_000
    assert here.ask("PUT", f"/offers/{offer['id']}", offer).status == 200
    live = [str(it["id"]) for it in here.ranges()]
    assert len(live) == 3
    assert sorted(document["of"] for number in live for document in everything(here, number)) == sorted(KEYS)


def test_the_ranges_are_sent_when_they_have_changed() -> None:
    here = Here()
    path = "/dbs/shop/colls/orders/pkranges"
    etag = here.ask("GET", path).headers["etag"]
    assert here.ask("GET", path, headers={"if-none-match": etag}).status == 304
    here.fault("split")
    assert here.ask("GET", path, headers={"if-none-match": etag}).status == 200


def test_too_many_requests() -> None:
    here = Here()
    here.create("a", "1")
    here.fault("429", times=2)
    for refused in (here.point("GET", "a", "1"), here.point("POST", "a", body={"id": "2", "key": "a"})):
        assert (refused.status, refused.headers["x-ms-retry-after-ms"]) == (429, "10")
    assert here.point("GET", "a", "1").status == 200
    assert here.point("GET", "a", "2").status == 404


def test_a_replica_that_lags() -> None:
    here = Here()
    here.create("a", "1")
    here.fault("stale-session")
    assert here.point("POST", "a", body={"id": "2", "key": "a"}).status == 201, "writes are not concerned"
    refused = here.point("GET", "a", "1")
    assert (refused.status, refused.headers["x-ms-substatus"]) == (404, "1002")
    assert here.point("GET", "a", "1").status == 200


def test_a_page_comes_twice() -> None:
    here = Here()
    for number in range(4):
        here.create("a", str(number))
    here.fault("twice")
    first = here.changes(x_ms_max_item_count="2")
    again = here.changes(after=first.headers["etag"], x_ms_max_item_count="2")
    assert ids(first) == ids(again) == ["0", "1"]
    assert ids(here.changes(after=again.headers["etag"])) == ["2", "3"]


def test_the_documents_of_a_batch_come_in_another_order() -> None:
    here = Here()
    names = [str(number) for number in range(20)]
    here.batch("a", *({"operationType": "Create", "resourceBody": {"id": it, "key": "a"}} for it in names))
    here.create("a", "last")
    here.fault("shuffle")
    shuffled = ids(here.changes())
    assert shuffled != [*names, "last"]
    assert sorted(shuffled[:-1]) == sorted(names)
    assert shuffled[-1] == "last", "what has another LSN stays in its place"
    assert ids(here.changes()) == [*names, "last"]


def test_a_fault_is_for_a_range_of_a_container() -> None:
    here = Here(ranges=2)
    here.ask("POST", "/dbs/shop/colls", {"id": "other", "partitionKey": {"paths": ["/key"], "version": 2}})
    here.fault("split", range=1, container="shop/orders")
    state = load(here.ask("GET", "/_faults"))
    assert state["ranges"] == {"shop/orders": [0, 2, 3], "shop/other": [0, 1]}
    here.fault("429", range=1, times=3)
    assert load(here.ask("GET", "/_faults"))["faults"] == [
        {"fault": "429", "container": None, "range": 1, "times": 3},
    ]
    assert here.changes("0").status == 304
    assert here.changes("2").status == 429, "the children of the range are concerned as well"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"fault": "fire"}, "split, merge, 429"),
        ({"fault": "429", "times": 0}, "times must be"),
        ({"fault": "429", "range": -1}, "range must be"),
        ({"fault": "429", "tims": 1}, "tims"),
        ({"fault": "split", "range": 7}, "shop/orders has [0]"),
        ({"fault": "merge"}, "nothing can be merged"),
        ({"fault": "split", "container": "shop/none"}, "there are: shop/orders"),
        ([], "expected"),
    ],
)
def test_faults_that_are_not_understood(wanted: Any, words: str) -> None:
    here = Here()
    answer = here.ask("POST", "/_faults", wanted)
    assert answer.status >= 400
    assert words in load(answer)["message"]
    assert load(here.ask("GET", "/_faults")) == {"faults": [], "ranges": {"shop/orders": [0]}}


def test_a_request_without_a_range_needs_there_to_be_one() -> None:
    here = Here(ranges=2)
    answer = here.ask("GET", here.docs, headers={"a-im": "Incremental Feed"})
    assert answer.status == 400
    assert RANGE in load(answer)["message"]
