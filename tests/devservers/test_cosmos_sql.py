"""The development server for Cosmos DB: its query language, pages, and the plan for several ranges."""

from typing import Any

import pytest

from devservers.cosmos.errors import Refused
from devservers.cosmos.sql import plan, select, understood
from tests.devservers.cosmos_requests import CROSSES, PARTITION_KEY, RANGE, Here, load

DOCUMENTS = [
    {"id": "1", "kind": "a", "n": 1, "tags": ["x", "y"], "at": {"city": "Bern"}},
    {"id": "2", "kind": "b", "n": 2.5, "tags": ["y"], "none": None},
    {"id": "3", "kind": "a", "n": 3, "tags": [], "flag": True, "at": {"city": "Rom"}},
    {"id": "4", "kind": "b", "n": "4", "tags": [{"k": 1, "v": 2}]},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT VALUE c.id FROM c WHERE c.n > 1", ["2", "3"]),
        ("SELECT VALUE c.id FROM c WHERE c.n = 1.0", ["1"]),
        ("SELECT VALUE c.id FROM c WHERE NOT (c.n > 1)", ["1"]),
        ("SELECT VALUE c.id FROM c WHERE c.flag = true OR c.n = '4'", ["3", "4"]),
        ("SELECT VALUE c.id FROM c WHERE c.flag != false", ["3"]),
        ("SELECT VALUE c.id FROM c WHERE c.n = true", []),
        ("SELECT VALUE c.id FROM c WHERE IS_DEFINED(c.none) AND IS_NULL(c.none)", ["2"]),
        ("SELECT VALUE c.id FROM c WHERE c.none = null", ["2"]),
        ("SELECT VALUE c.id FROM c WHERE c.id IN ('1', '3') AND c['kind'] = \"a\"", ["1", "3"]),
        ("SELECT VALUE c.id FROM c WHERE c.id NOT IN ('1', '3')", ["2", "4"]),
        ("SELECT VALUE c.id FROM c WHERE c.n BETWEEN 2 AND 3", ["2", "3"]),
        ("SELECT VALUE c.id FROM c WHERE c.at.city LIKE 'B%n' OR c.at.city LIKE '_om'", ["1", "3"]),
        ("SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.tags, 'x')", ["1"]),
        ('SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.tags, {"k": 1}, true)', ["4"]),
        ("SELECT VALUE c.id FROM c WHERE EXISTS(SELECT VALUE t FROM t IN c.tags WHERE t = 'y')", ["1", "2"]),
        ("SELECT VALUE c.id FROM c WHERE STARTSWITH(c.at.city, 'b', true)", ["1"]),
        ("SELECT c.id, t FROM c JOIN t IN c.tags WHERE c.kind = 'a'", [{"id": "1", "t": "x"}, {"id": "1", "t": "y"}]),
        ("SELECT VALUE t FROM t IN c.tags WHERE IS_STRING(t)", ["x", "y", "y"]),
        ("SELECT DISTINCT VALUE c.kind FROM c", ["a", "b"]),
        ("SELECT TOP 1 c.at.city AS town FROM c", [{"town": "Bern"}]),
        ("SELECT VALUE c.id FROM c ORDER BY c.n DESC", ["4", "3", "2", "1"]),
        ("SELECT VALUE c.id FROM c ORDER BY c.kind, c.id DESC", ["3", "1", "4", "2"]),
        ("SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 1 LIMIT 2", ["2", "3"]),
        ("SELECT VALUE COUNT(1) FROM c WHERE c.kind = 'a'", [2]),
        ("SELECT VALUE COUNT(c.at) FROM c", [2]),
        ("SELECT VALUE SUM(c.n) FROM c", []),
        ("SELECT VALUE SUM(c.n) FROM c WHERE IS_NUMBER(c.n)", [6.5]),
        ("SELECT VALUE MAX(c.id) FROM c", ["4"]),
        ("SELECT VALUE AVG(c.n) FROM c WHERE c.kind = 'a'", [2]),
        ("SELECT VALUE MIN(c.n) FROM c WHERE c.id = 'none'", []),
        (
            "SELECT COUNT(1) AS many, c.kind FROM c GROUP BY c.kind",
            [{"many": 2, "kind": "a"}, {"many": 2, "kind": "b"}],
        ),
        ("SELECT VALUE {\"id\": c.id, n: [c.n, c.missing]} FROM c WHERE c.id = '1'", [{"id": "1", "n": [1]}]),
        ("SELECT VALUE c.n > 2.5 ? 'much' : c.none ?? 'little' FROM c", ["little", None, "much", "little"]),
        ("SELECT VALUE (c.n + 1) * 2 - 1 FROM c WHERE c.id = '1'", [3]),
        ("SELECT VALUE c.n / 0 FROM c", []),
        ("SELECT VALUE CONCAT(c.id, '-', UPPER(c.kind)) FROM c WHERE c.id = '2'", ["2-B"]),
        ("SELECT VALUE root.id FROM root WHERE root.n = 1 -- the first", ["1"]),
        ("SELECT VALUE c.id FROM c WHERE c.id = @id AND c.n > @n", ["3"]),
        ("SELECT * FROM c WHERE false", []),
    ],
)
def test_queries(text: str, expected: list[Any]) -> None:
    parameters = [{"name": "@id", "value": "3"}, {"name": "@n", "value": 2}]
    assert select({"query": text, "parameters": parameters}, DOCUMENTS) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT", "an expression"),
        ("SELECT * FROM c WHERE", "near 'the end'"),
        ("SELECT * FROM c WHERE c.a == 1", "at character 28"),
        ("SELECT * FROM c LIMIT 1", "near 'LIMIT 1'"),
        ("SELECT VALUE d.id FROM c", "'d' could not be resolved"),
        ("SELECT VALUE NOTHING(c.id) FROM c", "'NOTHING' is not a recognized"),
        ("SELECT VALUE @missing FROM c", "@missing, which was not given"),
        ("SELECT TOP -1 * FROM c", "an expression"),
        ("SELECT * FROM c JOIN t IN c.tags", "single input set"),
        ("SELECT 'open FROM c", "character 8"),
    ],
)
def test_queries_that_are_not_understood(text: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        select({"query": text}, DOCUMENTS)
    assert (refused.value.status, words in refused.value.message) == (400, True), refused.value.message


def test_long_conditions() -> None:
    """Clients that read many documents at once make them."""
    text = " OR ".join(f"(c.id = '{number}' AND c.kind = 'a')" for number in range(2_000))
    assert select({"query": f"SELECT VALUE c.id FROM c WHERE {text}"}, DOCUMENTS) == ["1", "3"]


def test_pages() -> None:
    here = Here(ranges=3)
    for number in range(60):
        here.create(f"key-{number % 10}", str(number), n=number)
    for text, scope in (
        ("SELECT * FROM c", {RANGE: "2"}),
        ("SELECT * FROM c WHERE c.n >= 0", {RANGE: "0"}),
        ("SELECT * FROM c WHERE c.n >= 0 ORDER BY c.n DESC", {PARTITION_KEY: '["key-1"]'}),
        ("SELECT DISTINCT c.n FROM c", {RANGE: "1"}),
    ):
        seen: list[int] = []
        more: dict[str, str] = {}
        while True:
            page = here.query(text, {**scope, **more, "x-ms-max-item-count": "4"})
            found = [it["n"] for it in load(page)["Documents"]]
            assert len(found) <= 4
            seen += found
            if "x-ms-continuation" not in page.headers:
                break
            more = {"x-ms-continuation": page.headers["x-ms-continuation"]}
        whole = load(here.query(text, {**scope, "x-ms-max-item-count": "100"}))["Documents"]
        assert seen == [it["n"] for it in whole]
        assert len(seen) == len(set(seen)) > 4
    assert here.query("SELECT * FROM c", {"x-ms-continuation": "else"}).status == 400


def test_a_page_that_ends_is_not_disturbed_by_new_documents() -> None:
    here = Here()
    for number in range(6):
        here.create("a", str(number))
    page = here.query("SELECT * FROM c", {"x-ms-max-item-count": "3"})
    here.point("DELETE", "a", "1")
    rest = here.query("SELECT VALUE c.id FROM c", {"x-ms-continuation": page.headers["x-ms-continuation"]})
    assert load(rest)["Documents"] == ["3", "4", "5"]


def test_a_query_of_all_keys_must_be_meant() -> None:
    here = Here()
    refused = here.query("SELECT * FROM c", {CROSSES: "False"})
    assert refused.status == 400
    assert PARTITION_KEY in load(refused)["message"]
    here.create("a", "1")
    here.create("b", "1")
    named = here.query("SELECT * FROM c WHERE c.id = '1' AND @k = c['key']", {CROSSES: "False"}, k="b")
    assert [document["key"] for document in load(named)["Documents"]] == ["b"]
    assert here.query("SELECT * FROM c WHERE c.key = 'a' OR c.key = 'b'", {CROSSES: "False"}).status == 400
    assert here.query("SELECT * FROM c", {CROSSES: "", RANGE: "0"}).status == 200


def test_all_documents_are_read_once_although_ranges_split_meanwhile() -> None:
    here = Here(ranges=2)
    keys = [f"key-{number}" for number in range(50)]
    for key in keys:
        here.create(key, key)
    seen: list[str] = []
    page = here.query("SELECT * FROM c", {"x-ms-max-item-count": "7"})
    for turn in range(100):
        seen += [document["id"] for document in load(page)["Documents"]]
        if "x-ms-continuation" not in page.headers:
            break
        if turn in (1, 5):
            here.fault("split", range=turn // 5)
        more = {"x-ms-continuation": page.headers["x-ms-continuation"], "x-ms-max-item-count": "7"}
        page = here.query("SELECT * FROM c", more)
    assert len(here.ranges()) == 4
    assert sorted(seen) == sorted(keys)


def test_what_concerns_several_ranges_needs_a_plan() -> None:
    here = Here(ranges=3)
    for number in range(12):
        here.create(f"key-{number}", "1", n=number)
    refused = here.query("SELECT VALUE COUNT(1) FROM c")
    assert (refused.status, refused.headers["x-ms-substatus"]) == (400, "1004")
    planned = here.query("SELECT VALUE COUNT(1) FROM c", {"x-ms-cosmos-is-query-plan-request": "True"})
    rewritten = load(planned)["queryInfo"]["rewrittenQuery"]
    partial = [load(here.query(rewritten, {RANGE: number}))["Documents"] for number in ("0", "1", "2")]
    assert sum(found[0][0]["item"] for found in partial) == 12


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("SELECT * FROM c", ""),
        ("SELECT VALUE AVG(c.n) FROM c", 'SELECT VALUE [{"item": {"sum": SUM(c.n), "count": COUNT(c.n)}}] FROM c'),
        ("SELECT * FROM c WHERE c.n > 1 OFFSET 2 LIMIT 3", "SELECT * FROM c WHERE c.n > 1 OFFSET 0 LIMIT 5"),
        (
            "SELECT c.id AS x FROM c WHERE c.a OR c.b ORDER BY c.n DESC, c.id",
            'SELECT c._rid, [{"item": c.n}, {"item": c.id}] AS orderByItems, {"x": c.id} AS payload FROM c '
            "WHERE (c.a OR c.b) AND ({documentdb-formattableorderbyquery-filter}) ORDER BY c.n DESC, c.id",
        ),
    ],
)
def test_plans(text: str, rewritten: str) -> None:
    info = plan(*understood({"query": text}), "")["queryInfo"]
    assert info["rewrittenQuery"] == rewritten
    if rewritten:
        understood({"query": rewritten.replace("{documentdb-formattableorderbyquery-filter}", "true")})


@pytest.mark.parametrize("text", ["SELECT COUNT(1) FROM c GROUP BY c.k", "SELECT VALUE COUNT(1) + 1 FROM c"])
def test_plans_that_cannot_be_made(text: str) -> None:
    with pytest.raises(Refused):
        plan(*understood({"query": text}), "")
