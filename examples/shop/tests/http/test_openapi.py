"""The OpenAPI description is true for every route: each is called, and its responses are compared with it."""

from typing import Any

from shop.tests.http.client import Client
from shop.tests.http.openapi import Description

TEA = {"productId": "tea", "quantity": 2, "unitPrice": "2.5001"}
HOME = {"street": "High Street 1", "city": "Leeds", "country": "United Kingdom"}
ORDER: dict[str, Any] = {"customerId": "ann", "items": [TEA], "shippingAddress": HOME, "orderId": "first"}

CHANGES: tuple[tuple[str, str, Any, dict[str, str]], ...] = (
    ("PUT", "/products/cup", {"name": "Cup", "price": 4}, {}),
    ("PUT", "/products/cup", {"name": "Cup"}, {}),
    ("PUT", "/products/cup", {"name": "Cup", "price": 5}, {"If-Match": 'W/"1"'}),
    ("PUT", "/products/cup", {"name": "Cup", "price": 5}, {"If-None-Match": "*"}),
    ("PUT", "/customers/ann", {"name": "Ann", "email": "ann@example.com"}, {"Idempotency-Key": "k"}),
    ("PUT", "/customers/ann", {"name": "Ann", "email": "ann@example.org"}, {"Idempotency-Key": "k"}),
    ("POST", "/inventory/products/tea/receipts", {"quantity": 5}, {}),
    ("POST", "/inventory/products/none/receipts", {"quantity": 5}, {}),
    ("POST", "/inventory/products/tea/receipts", {"quantity": 5}, {"If-Range": '"1"'}),
    ("POST", "/inventory/products/tea/adjustments", {"quantity": -3, "reason": "broken"}, {}),
    ("POST", "/inventory/products/tea/adjustments", {"quantity": -9_999, "reason": "broken"}, {}),
    ("POST", "/inventory/products/none/adjustments", {"quantity": 1, "reason": "found"}, {}),
    ("POST", "/orders", ORDER, {"If-None-Match": "*"}),
    ("POST", "/orders", ORDER, {"If-None-Match": "*"}),
    ("POST", "/orders", ORDER, {}),
    ("POST", "/orders", {**ORDER, "orderId": "big", "items": [{**TEA, "quantity": 1, "unitPrice": 1}]}, {}),
    ("POST", "/orders", {**ORDER, "customerId": "none"}, {}),
    ("POST", "/orders/drafts", {"customerId": "ann"}, {}),
    ("POST", "/orders/DRAFT/items", TEA, {}),
    ("POST", "/orders/DRAFT/submit", None, {}),
    ("POST", "/orders/DRAFT/submit", None, {}),
    ("POST", "/orders/DRAFT/cancel", {"reason": "too late"}, {}),
    ("POST", "/orders/first/ship", {"trackingNumber": "1"}, {}),
    ("POST", "/orders/first/ship", b"{", {}),
    ("POST", "/orders/first/ship", b"{}", {"Content-Type": "text/plain"}),
    ("POST", "/orders/first/ship", b"x" * 2_000_000, {}),
)
READS = (
    "/customers/ann/orders",
    "/customers/ann/orders?limit=1",
    "/customer/ann/orders",
    "/customers/ann/summary",
    "/customers/bob/summary",
    "/customers/none/summary",
    "/inventory/products/tea",
    "/products",
    "/products?limit=1",
    "/products?cursor=x",
    "/products?namePrefix=Te",
    "/products/tea",
    "/products/none",
    "/orders",
    "/orders?limit=1",
    "/orders?limit=5_0",
    "/orders?cursor=x",
    "/orders/first",
    "/orders/DRAFT",
    "/orders/first/history",
    "/orders/DRAFT/history",
    "/sales/products",
    "/sales/countries",
    "/health/live",
    "/health/ready",
    "/status",
    "/metrics",
)


async def test_every_route_answers_as_it_is_described(stocked: Client) -> None:
    description = Description((await stocked.http.get("/openapi.json")).json())
    draft = ""
    for method, path, body, headers in CHANGES:
        content = {"content": body, "headers": {"Content-Type": "application/json", **headers}}
        sent = content if isinstance(body, bytes) else {"json": body, "headers": headers}
        answer = await stocked.http.request(method, path.replace("DRAFT", draft), **sent)
        description.check(answer)
        draft = answer.json().get("orderId", "") if path == "/orders/drafts" else draft
        stocked.token = answer.headers.get("Consistency-Token", stocked.token)
        if path == "/orders" and answer.status_code == 202:
            await stocked.until_status(answer.json()["orderId"], "confirmed")
    await stocked.until("/health/ready", lambda answer: answer["status"] == "ready")
    for path in READS:
        description.check(await stocked.get(path.replace("DRAFT", draft), Prefer="wait=5"))
    known = await stocked.get("/orders/first", If_None_Match=(await stocked.get("/orders/first")).headers["ETag"])
    description.check(known)
    unseen = {one["operationId"] for one in description.operations()} - {
        operation for operation, status in description.seen if status < 300
    }
    assert unseen == set()
    statuses = {status for _, status in description.seen}
    assert statuses == {200, 201, 202, 304, 400, 404, 409, 412, 413, 415, 422}


async def test_what_openapi_says_of_answers(client: Client) -> None:
    document = (await client.http.get("/openapi.json")).json()
    ids = [one["operationId"] for one in Description(document).operations()]
    assert len(ids) == len(set(ids))
    assert {"put_product", "place_order", "customer_orders", "order_history"} <= set(ids)
    placed = document["paths"]["/orders"]["post"]["responses"]["202"]["headers"]
    assert set(placed) == {"Consistency-Token", "ETag", "Idempotency-Expires", "Location"}
    schemas = document["components"]["schemas"]
    assert set(schemas["BriefOrder"]["properties"]) == {"orderId", "orderDate", "totalAmount", "items"}
    assert [one["type"] for one in schemas["SummaryAnswer"]["properties"]["totalSpent"]["anyOf"]] == [
        "number",
        "string",
    ]
    assert set(schemas["NewLine"]["properties"]) == {"productId", "quantity", "unitPrice"}
