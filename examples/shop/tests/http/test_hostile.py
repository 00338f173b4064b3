"""Hostile input over a real connection: the right status, a problem that names the fault, nothing appended."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from shop.tests.http.server import Server, serving

pytestmark = pytest.mark.slow

TEA = {"productId": "tea", "quantity": 1}
ORDER: dict[str, Any] = {"customerId": "ann", "items": [TEA], "shippingAddress": "by the door"}
SQL = "'; DROP TABLE twofold_events; --"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    with serving(f"sqlite:///{folder / 'shop.db'}", folder) as server:
        assert server.ask("PUT", "/products/tea", '{"name": "Tea", "price": 2.5}').status == 200
        assert server.ask("PUT", "/customers/ann", '{"name": "Ann", "email": "ann@example.com"}').status == 200
        assert server.ask("POST", "/orders/drafts", '{"customerId": "ann"}', "Idempotency-Key: 1").status == 201
        yield server
    logged = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    assert not [line for line in logged if line["level"] == "error" or line.get("status", 0) >= 500]


def head(server: Server) -> str:
    """The end of the log, once all reactions to accepted input are done."""
    while True:
        followers = json.loads(server.ask("GET", "/status").body)
        if not any(follower["lagEvents"] for follower in followers):
            found: str = followers[0]["head"]
            return found


@pytest.fixture
def unchanged(server: Server) -> Iterator[Server]:
    """The server; fails if anything is appended."""
    before = head(server)
    yield server
    assert head(server) == before


def order(**fields: Any) -> str:
    return json.dumps({**ORDER, **fields})


# Too much


def test_an_order_of_100_000_items(unchanged: Server) -> None:
    refused = unchanged.ask("POST", "/orders", order(items=[TEA] * 100_000))
    assert (refused.status, refused.problem["type"]) == (413, "content-too-large")
    small = ",".join(['{"productId":"t","quantity":1}'] * 30_000)
    refused = unchanged.ask("POST", "/orders", order(items=[]).replace("[]", f"[{small}]"))
    assert (refused.status, refused.problem["errors"][0]["field"]) == (422, "/items")


def test_10_megabytes_are_refused_before_they_have_come(unchanged: Server) -> None:
    line = b"POST /orders HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
    ten = 10 * 1024 * 1024
    assert unchanged.send(line + b"Content-Length: %d\r\n\r\n{" % ten).problem["type"] == "content-too-large"
    assert unchanged.ask("POST", "/orders", b" " * ten).problem["type"] == "content-too-large"
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    endless = unchanged.send(line + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 17)
    assert endless.problem["type"] == "content-too-large"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000]
)
def test_json_that_is_deep(unchanged: Server, text: str) -> None:
    refused = unchanged.ask("POST", "/orders", text)
    assert (refused.status, refused.problem["type"]) == (400, "invalid-json")


@pytest.mark.parametrize("where", ["/orders/{}", "/orders?customerId={}", "/orders?cursor={}", "/orders?{}=1"])
def test_an_address_that_is_long(unchanged: Server, where: str) -> None:
    assert unchanged.ask("GET", where.format("x" * 30_000)).status in (400, 422)
    too_long = unchanged.ask("GET", where.format("x" * 300_000))
    assert (too_long.status, too_long.problem["type"]) == (431, "head-too-large")


@pytest.mark.parametrize(
    "line", ["X-Any: {}", "Prefer: wait={}", "Prefer: {}", "If-None-Match: {}", "Consistency-Token: {}", "Cookie: {}"]
)
def test_a_header_that_is_long(unchanged: Server, line: str) -> None:
    assert unchanged.ask("GET", "/orders/none", None, line.format("9" * 30_000)).status in (400, 404)
    assert unchanged.ask("GET", "/orders/none", None, line.format("9" * 300_000)).status == 431
    assert unchanged.ask("GET", "/orders/none", None, *[f"X-{n}: {n}" for n in range(20_000)]).status == 431


# Invalid text


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udc00\\ud800"', '"\ud800"', '"\x00"', '"\x1f"'])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/products/tea", {"name": "?", "price": 1}),
        ("PUT", "/products/tea", {"name": "a", "price": "?"}),
        ("PUT", "/customers/ann", {"name": "?", "email": "a@b.cd"}),
        ("PUT", "/customers/ann", {"name": "a", "email": "?"}),
        ("POST", "/orders", {**ORDER, "orderId": "?"}),
        ("POST", "/orders", {**ORDER, "customerId": "?"}),
        ("POST", "/orders", {**ORDER, "shippingAddress": "?"}),
        ("POST", "/orders", {**ORDER, "shippingAddress": {"street": "?", "city": "a", "country": "b"}}),
        ("POST", "/orders", {**ORDER, "items": [{**TEA, "productId": "?"}]}),
        ("POST", "/orders/drafts", {"customerId": "?"}),
        ("POST", "/orders/any/cancel", {"reason": "?"}),
        ("POST", "/orders/any/ship", {"trackingNumber": "?"}),
        ("POST", "/orders/any/items", {**TEA, "productId": "?"}),
        ("POST", "/orders", {**ORDER, "?": 1}),
    ],
)
def test_what_no_text_may_hold(unchanged: Server, method: str, path: str, body: Any, text: str) -> None:
    refused = unchanged.ask(method, path, json.dumps(body).replace('"?"', text))
    assert (refused.status, refused.problem["type"]) == (400, "invalid-json")
    escaped = unchanged.ask(method, path, json.dumps(body).replace('"?"', '"\\u0000"'))
    assert (escaped.status, escaped.problem["type"]) == (422, "invalid-input")


@pytest.mark.parametrize("part", ["%00", "%0D%0AX:1", "%ff", "%C0%AF", "%ED%A0%80", "%", "%zz", "%2", "..", "%2e%2e"])
@pytest.mark.parametrize("path", ["/products/{}", "/customers/{}", "/orders/{}/cancel"])
def test_an_address_that_is_none(unchanged: Server, path: str, part: str) -> None:
    method = "POST" if "cancel" in path else "PUT"
    body = {"name": "a", "price": 1} if "products" in path else {"name": "a", "email": "a@b.cd"}
    refused = unchanged.ask(method, path.format(part), json.dumps(body if method == "PUT" else {"reason": "x"}))
    assert (refused.status, refused.problem["type"]) in (
        (400, "invalid-address"),
        (422, "invalid-input"),
        (404, "not-found"),
    )


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd",
        "/docs/..%2f..%2fetc%2fpasswd",
        "/docs/%2e%2e/x",
        "//etc/passwd",
        "/docs/..\\..\\x",
        "/orders/",
        "*",
    ],
)
def test_there_is_no_way_out_of_the_addresses(unchanged: Server, path: str) -> None:
    refused = unchanged.ask("GET", path)
    assert (refused.status, refused.problem["type"]) == (404, "not-found")


# Numbers


@pytest.mark.parametrize(
    "number", ["1e1000000", "-1e1000000", "1e-1000000", "1e999999999999999999", "9" * 40, "0." + "1" * 40, "9" * 4_000]
)
@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/products/tea", {"name": "Tea", "price": "?"}, "/price"),
        ("POST", "/inventory/products/tea/receipts", {"quantity": "?"}, "/quantity"),
        ("POST", "/orders", {**ORDER, "items": [{**TEA, "quantity": "?"}]}, "/items/0/quantity"),
        ("POST", "/orders", {**ORDER, "items": [{**TEA, "unitPrice": "?"}]}, "/items/0/unitPrice"),
        ("POST", "/orders/any/items", {**TEA, "quantity": "?"}, "/quantity"),
    ],
)
def test_a_number_that_is_none(unchanged: Server, method: str, path: str, body: Any, field: str, number: str) -> None:
    for text in (number, f'"{number}"'):
        refused = unchanged.ask(method, path, json.dumps(body).replace('"?"', text))
        assert refused.status == 422
        assert {error["field"] for error in refused.problem["errors"]} == {field}
        assert len(refused.problem["detail"]) < 1_000


def test_a_number_of_10_000_digits(unchanged: Server) -> None:
    refused = unchanged.ask("POST", "/inventory/products/tea/receipts", f'{{"quantity": {"9" * 10_000}}}')
    assert (refused.status, refused.problem["type"]) == (400, "invalid-json")
    for query in (f"limit={'9' * 10_000}", "limit=1e3", "limit=0x1", "limit=%D9%A1", "limit=1&limit=2", "limit=-0.0"):
        refused = unchanged.ask("GET", f"/orders?{query}")
        assert [error["field"] for error in refused.problem["errors"]] == ["limit"]


def test_what_is_refused_is_shown(unchanged: Server) -> None:
    refused = unchanged.ask("POST", "/orders", order(items=[{**TEA, "quantity": -7}], customerId=5))
    messages = {error["field"]: error["message"] for error in refused.problem["errors"]}
    assert messages["/items/0/quantity"].endswith(", not -7")
    assert messages["/customerId"].endswith(", not 5")
    assert unchanged.ask("GET", "/orders?limit=501").problem["errors"][0]["message"].endswith(', not "501"')


# SQL and other harmless text


def test_sql_is_text(server: Server) -> None:
    assert server.ask("PUT", "/products/sql", json.dumps({"name": SQL, "price": 1})).status == 200
    assert server.ask("PUT", f"/products/{quote(SQL)}", json.dumps({"name": SQL, "price": 1})).status == 200
    assert server.ask("PUT", f"/customers/{quote(SQL)}", json.dumps({"name": SQL, "email": "a'--@b.cd"})).status == 200
    item = {"productId": SQL, "quantity": 1}
    placed = order(customerId=SQL, items=[item], shippingAddress=SQL, orderId=SQL)
    assert server.ask("POST", "/orders", placed, f"Idempotency-Key: {SQL}", f"X-Actor: {SQL}").status == 202
    token = server.ask("POST", f"/orders/{quote(SQL)}/cancel", json.dumps({"reason": SQL})).headers["consistency-token"]
    found = server.ask("GET", f"/orders/{quote(SQL)}", None, f"Consistency-Token: {token}")
    assert json.loads(found.body)["cancellationReason"] == SQL
    query = f"customerId={quote(SQL)}&productId={quote(SQL)}"
    page = server.ask("GET", f"/orders?{query}", None, f"Consistency-Token: {token}")
    assert [one["orderId"] for one in json.loads(page.body)["data"]] == [SQL]
    assert server.ask("GET", f"/orders?cursor={quote(SQL)}").status == 400


def test_what_is_echoed_stays_in_its_header(server: Server) -> None:
    order_id = "a\u00a0\u3000%0d%0aX-Evil: 1\U0001f600"
    placed = server.ask("POST", "/orders", order(orderId=order_id), "X-Correlation-ID: a%0d%0aX-Evil: 1")
    assert placed.status == 202
    assert placed.headers["location"] == f"/orders/{quote(order_id, safe='')}"
    assert placed.headers["x-correlation-id"] == "a%0d%0aX-Evil: 1"
    assert "x-evil" not in placed.headers
    assert server.ask("GET", placed.headers["location"] + "/history").status == 200


@pytest.mark.parametrize(
    "line",
    [
        "X-Correlation-ID: a\rX-Evil: 1",
        "X-Correlation-ID: a\n X-Evil: 1",
        "X-Correlation-ID: a\r\n folded",
        "X-Correlation-ID: \x00",
        "X-Correlation-ID: é",
        "X-Correlation-ID: a\r\nX-Correlation-ID: b",
        "Idempotency-Key: a\r\nIdempotency-Key: b",
        "Idempotency-Key:",
        f"Idempotency-Key: {'x' * 201}",
        "X-Actor: a\tb",
    ],
)
def test_a_header_that_is_none(unchanged: Server, line: str) -> None:
    refused = unchanged.ask("POST", "/orders", order(), line)
    assert (refused.status, refused.problem["type"]) in ((400, "invalid-header"), (400, "invalid-request"))
    assert "x-evil" not in refused.headers


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ('If-Match: "7"\r\nIf-Match: "8"', 412),
        ('If-Match: *\r\nIf-Match: "1"', 400),
        ("If-Match: 1", 400),
        ("If-Match:", 400),
        ('If-Match: W/"1"', 412),
        ('If-Match: "99999999999999999999999"', 412),
        ('If-Match: "-1"', 412),
        ('If-Match: "\xff"', 412),
    ],
)
def test_a_version_that_is_not_there(unchanged: Server, line: str, status: int) -> None:
    assert unchanged.ask("PUT", "/products/tea", '{"name": "T", "price": 1}', line).problem["status"] == status


@pytest.mark.parametrize(
    "line",
    [
        "Consistency-Token: a\r\nConsistency-Token: b",
        "Consistency-Token:",
        "Consistency-Token: 0123456789abcdef:0:1",
        "Consistency-Token: 0123456789abcdef:0:99999999999999999999",
        f"Consistency-Token: {SQL}",
        "Consistency-Token: é",
        "If-None-Match: x",
        'If-None-Match: *\r\nIf-None-Match: "1"',
    ],
)
def test_a_read_that_asks_for_what_is_none(unchanged: Server, line: str) -> None:
    for path in ("/orders", "/orders/none", "/orders/none/history", "/customers/ann/orders", "/sales/products"):
        expected = 400 if line.startswith("Consistency") or path == "/orders/none" else None
        answered = unchanged.ask("GET", path, None, line)
        assert answered.status == (expected or answered.status)
        assert answered.status < 500


@pytest.mark.parametrize("value", ["wait=-1", "wait=1e9", "wait", "wait=9999999999999999999", 'a,b;c="', "wait=\xb2"])
def test_a_preference_that_is_none_is_ignored(unchanged: Server, value: str) -> None:
    assert unchanged.ask("GET", "/sales/products", None, f"Prefer: {value}").status == 200


# Other formats


@pytest.mark.parametrize(
    "line",
    [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type:",
        "Content-Type: application/json; charset=latin-1",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: application/json\r\nContent-Type: text/plain",
        "Content-Type: application/json\r\nContent-Encoding: gzip",
    ],
)
def test_a_body_in_another_form(unchanged: Server, line: str) -> None:
    refused = unchanged.ask("POST", "/orders", order(), line)
    assert (refused.status, refused.problem["type"]) == (415, "unsupported-media-type")


@pytest.mark.parametrize("line", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_json_may_be_named_in_full(server: Server, line: str) -> None:
    assert server.ask("POST", "/orders", order(), f"Content-Type: {line}").status == 202


@pytest.mark.parametrize("path", ["/orders", "/orders/none", "/products/tea", "/docs", "/openapi.json", "/nowhere"])
def test_head_is_get_without_a_body(unchanged: Server, path: str) -> None:
    get, head = (unchanged.ask(method, path, None, "Connection: close") for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (get.status, b"")
    for headers in (get.headers, head.headers):
        headers.pop("date")
    assert head.headers == get.headers
    assert int(head.headers["content-length"]) == len(get.body)


@pytest.mark.parametrize("method", ["OPTIONS", "DELETE", "PATCH", "TRACE", "PROPFIND", "CONNECT"])
def test_a_method_that_is_not_offered(unchanged: Server, method: str) -> None:
    for path, allowed in (
        ("/orders", "GET, HEAD, POST"),
        ("/products/tea", "GET, HEAD, PUT"),
        ("/customers/ann", "PUT"),
    ):
        refused = unchanged.ask(method, path)
        assert (refused.status, refused.headers["allow"]) == (405, allowed)
    assert unchanged.ask(method, "/nowhere").status == 404
