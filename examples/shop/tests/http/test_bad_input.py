"""Bad input gets a clear error and changes nothing, so one shop is enough for all of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shop.tests.http.client import Client, fields, problem
from shop.tests.http.conftest import opened, put_into_stock

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEA = {"productId": "tea", "quantity": 1}
ORDER: dict[str, Any] = {"customerId": "ann", "items": [TEA], "shippingAddress": "by the door"}
HOSTILE = ["", "\x00", "a\x00b", "a\nb", "\x1b[31m", "\x7f", "a\x85b", "a\u2028b", "x" * 201]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stocked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with opened(f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}") as client:
        await put_into_stock(client)
        yield client


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_is_appended(stocked: Client) -> AsyncIterator[None]:
    before = (await stocked.get("/status")).json()[0]["head"]
    yield
    assert (await stocked.get("/status")).json()[0]["head"] == before


async def test_every_field_at_fault_is_named(stocked: Client) -> None:
    body = {
        "customerId": 1,
        "items": [
            {"productId": "a/b", "quantity": "2", "colour": "red"},
            {"quantity": True, "unitPrice": -1},
            {"productId": "tea", "quantity": 0, "unitPrice": "1e3"},
            {"productId": "tea", "quantity": 1_000_001, "unitPrice": 10.12345},
        ],
        "shippingAddress": {"street": "", "city": "Leeds"},
        "orderId": "x" * 201,
        "isAdmin": True,
    }
    assert fields(await stocked.post("/orders", body)) == sorted(
        [
            "/customerId",
            "/items/0/colour",
            "/items/0/productId",
            "/items/0/quantity",
            "/items/1/productId",
            "/items/1/quantity",
            "/items/1/unitPrice",
            "/items/2/quantity",
            "/items/2/unitPrice",
            "/items/3/quantity",
            "/items/3/unitPrice",
            "/shippingAddress/country",
            "/shippingAddress/street",
            "/orderId",
            "/isAdmin",
        ]
    )


@pytest.mark.parametrize(
    "price",
    [
        "10.12345",
        '"10.12345"',
        "1.00000000000000001",
        "-0.01",
        '"-1"',
        "1000000000.01",
        "1e10",
        "1e400",
        '"1e2"',
        '"NaN"',
        '"1_0"',
        '" 1"',
        '"١"',
        '""',
        "true",
        "null",
        "[1]",
        '"Infinity"',
    ],
)
async def test_a_price_that_is_none(stocked: Client, price: str) -> None:
    answered = await stocked.send("PUT", "/products/tea", f'{{"name": "Tea", "price": {price}}}')
    assert set(fields(answered)) == {"/price"}


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_and_ids_are_printable(stocked: Client, name: str) -> None:
    assert fields(await stocked.put("/products/tea", {"name": name, "price": 1})) == ["/name"]
    assert fields(await stocked.put("/customers/ann", {"name": name, "email": "a@b.c"})) == ["/name"]
    assert fields(await stocked.post("/orders", {**ORDER, "orderId": name})) == ["/orderId"]
    assert fields(await stocked.post("/orders", {**ORDER, "customerId": name})) == ["/customerId"]
    assert fields(await stocked.post("/orders", {**ORDER, "items": [{**TEA, "productId": name}]})) == [
        "/items/0/productId"
    ]


@pytest.mark.parametrize("text", ["", "\x00", "\x1b", "x" * 501])
async def test_free_texts_are_texts(stocked: Client, text: str) -> None:
    assert fields(await stocked.post("/orders", {**ORDER, "shippingAddress": text})) == ["/shippingAddress"]
    assert fields(await stocked.post("/orders/any/cancel", {"reason": text})) == ["/reason"]
    assert fields(await stocked.post("/orders/any/ship", {"trackingNumber": text})) == ["/trackingNumber"]


@pytest.mark.parametrize("address", [None, 5, [], ["Leeds"], True])
async def test_an_address_is_a_text_or_has_fields(stocked: Client, address: Any) -> None:
    assert fields(await stocked.post("/orders", {**ORDER, "shippingAddress": address})) == ["/shippingAddress"]


@pytest.mark.parametrize("email", ["", "ann", "ann@", "@b.c", "a@b", "a b@c.d", "a@b..c", "a@b.c.", "a@b@c.d", None])
async def test_an_email_address_that_is_none(stocked: Client, email: Any) -> None:
    assert fields(await stocked.put("/customers/ann", {"name": "Ann", "email": email})) == ["/email"]


@pytest.mark.parametrize(
    "text", ["{", "[1,2", '{"quantity": NaN}', '{"quantity": 1, "quantity": 2}', '{"a":"\\ud800"}']
)
async def test_what_is_not_json(stocked: Client, text: str) -> None:
    answered = await stocked.send("POST", "/inventory/products/tea/receipts", text)
    assert problem(answered) == (400, "invalid-json")


async def test_what_is_too_large(stocked: Client) -> None:
    body = b'{"reason": "' + b"x" * 2_000_000 + b'"}'
    assert problem(await stocked.send("POST", "/orders/any/cancel", body)) == (413, "content-too-large")
    lines = [TEA] * 10_001
    assert fields(await stocked.post("/orders", {**ORDER, "items": lines})) == ["/items"]


async def test_paths_are_checked_like_bodies(stocked: Client) -> None:
    for path in ("/products/%00", "/products/a%0Ab", f"/products/{'x' * 201}", "/products/te%E2%80%8Ba"):
        answered = await stocked.put(path, {"name": "Tea", "price": 1})
        assert [(error["in"], error["field"]) for error in answered.json()["errors"]] == [("path", "productId")]
    found = "No unprintable characters, please: it contains U+200B ZERO WIDTH SPACE"
    assert answered.json()["errors"][0]["message"] == f'{found}, not "te\\u200ba"'
    assert problem(await stocked.put("/products/a%2Fb", {"name": "Tea", "price": 1})) == (404, "not-found")


@pytest.mark.parametrize(
    "path", ["/orders/%ff", "/orders/%C3", "/orders/%ED%A0%80", "/orders?customerId=%ff", "/orders?%ff"]
)
async def test_an_address_is_text(stocked: Client, path: str) -> None:
    answered = await stocked.get(path)
    assert problem(answered) == (400, "invalid-address")
    assert path.split("/orders")[1].strip("?") in answered.json()["detail"]


async def test_what_is_unknown_in_a_body_is_named(stocked: Client) -> None:
    lines = [TEA, {**TEA, "productId": "gin"}, {**TEA, "productId": "rum"}]
    answered = await stocked.post("/orders", {**ORDER, "customerId": "eve", "items": lines})
    assert problem(answered) == (422, "unknown-reference")
    assert fields(answered) == ["/customerId", "/items/1/productId", "/items/2/productId"]
    assert "'gin'" in answered.json()["detail"]
    assert fields(await stocked.post("/orders/drafts", {"customerId": "eve"})) == ["/customerId"]


async def test_what_is_unknown_in_a_path(stocked: Client) -> None:
    for path, body in (
        ("/orders/none/items", TEA),
        ("/orders/none/submit", None),
        ("/orders/none/cancel", {"reason": "x"}),
        ("/orders/none/ship", {"trackingNumber": "x"}),
        ("/inventory/products/none/receipts", {"quantity": 1}),
    ):
        assert problem(await stocked.post(path, body)) == (404, "not-found")
    for path in (
        "/orders/none",
        "/orders/none/history",
        "/customers/none/orders",
        "/customers/none/summary",
        "/inventory/products/none",
        "/nothing",
    ):
        assert problem(await stocked.get(path)) == (404, "not-found")
    assert problem(await stocked.post("/orders/1")) == (405, "method-not-allowed")


@pytest.mark.parametrize(
    ("query", "at_fault"),
    [
        ("status=lost", ["status"]),
        ("limit=0", ["limit"]),
        ("limit=501", ["limit"]),
        ("limit=two&status=", ["limit", "status"]),
        ("limit=5_0", ["limit"]),
        ("limit=1.0", ["limit"]),
        ("limit=%2B5", ["limit"]),
        ("limit=+5", ["limit"]),
        ("limit=5%20", ["limit"]),
        ("limit=%EF%BC%95", ["limit"]),
        ("customerId=%00", ["customerId"]),
        ("customerId=", ["customerId"]),
        ("custmerId=ann&x=1", ["custmerId", "x"]),
    ],
)
async def test_a_query_that_is_none(stocked: Client, query: str, at_fault: list[str]) -> None:
    assert fields(await stocked.get(f"/orders?{query}")) == at_fault


@pytest.mark.parametrize("cursor", ["", "x", "e30", "a" * 5_000, "%00", "W10", "bnVsbA"])
async def test_a_cursor_that_is_none(stocked: Client, cursor: str) -> None:
    assert problem(await stocked.get(f"/orders?cursor={cursor}")) == (400, "invalid-cursor")
    assert problem(await stocked.get(f"/customers/ann/orders?cursor={cursor}")) == (400, "invalid-cursor")


async def test_an_order_without_anything(stocked: Client) -> None:
    assert fields(await stocked.post("/orders", {})) == ["/customerId", "/items", "/shippingAddress"]
    assert fields(await stocked.send("POST", "/orders", "")) == [""]
