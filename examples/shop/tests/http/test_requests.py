"""A table of requests, one after another."""

import json
from decimal import Decimal
from typing import Any

from shop.tests.http.client import Client, problem

HOME = {"street": "High Street 1", "city": "Leeds", "country": "United Kingdom"}
TEA = {"productId": "tea", "quantity": 2}


def order(**changes: Any) -> dict[str, Any]:
    return {"customerId": "ann", "items": [TEA], "shippingAddress": HOME, **changes}


async def test_put_a_product(client: Client) -> None:
    first = await client.put("/products/tea", {"name": "Tea", "price": 2.5})
    assert (first.status_code, first.json()["version"], first.headers["etag"]) == (200, 1, '"1"')
    again = await client.put("/products/tea", {"name": "Tea", "price": "2.50"})
    assert (again.status_code, again.json()["version"]) == (200, 1)
    changed = await client.put("/products/tea", {"name": "Tea", "price": "2.75"})
    assert changed.json() == {"productId": "tea", "name": "Tea", "price": 2.75, "version": 2}


async def test_put_a_customer(client: Client) -> None:
    body = {"name": "Ann", "email": "ann@example.com"}
    assert (await client.put("/customers/ann", body)).json() == {"customerId": "ann", **body, "version": 1}
    assert (await client.put("/customers/ann", body)).json()["version"] == 1
    assert (await client.get("/customers/ann/summary")).json() == {
        "customerId": "ann",
        "totalOrders": 0,
        "totalSpent": 0,
        "lastOrderDate": None,
    }
    assert (await client.get("/customers/ann/orders")).json() == []


async def test_receive_stock(stocked: Client) -> None:
    received = await stocked.post("/inventory/products/tea/receipts", {"quantity": 5})
    assert (received.status_code, received.json()["availableQuantity"]) == (202, 1_005)
    assert (await stocked.get("/inventory/products/tea")).json() == {"productId": "tea", "availableQuantity": 1_005}
    assert (await stocked.get("/inventory/products/cup")).json() == {"productId": "cup", "availableQuantity": 0}


async def test_place_an_order(stocked: Client) -> None:
    placed = await stocked.post("/orders", order(orderId="o 1"))
    assert (placed.status_code, placed.headers["location"]) == (202, "/orders/o%201")
    message = "Order creation initiated"
    assert placed.json() == {"orderId": "o 1", "status": "pending", "version": 1, "message": message}
    assert placed.headers["consistency-token"]
    seen = await stocked.get(placed.headers["location"])
    assert seen.status_code == 200
    found = await stocked.until_status("o 1", "confirmed")
    times = {name: found.pop(name) for name in ("createdAt", "updatedAt")}
    assert all(time.endswith("Z") for time in times.values())
    assert found == {
        "orderId": "o 1",
        "customerId": "ann",
        "customerName": "Ann",
        "customerEmail": "ann@example.com",
        "items": [{"productId": "tea", "productName": "Tea", "quantity": 2, "price": 2.5}],
        "itemCount": 1,
        "totalAmount": 5,
        "status": "confirmed",
        "statusDisplay": "Confirmed",
        "shippingSummary": "Leeds, United Kingdom",
        "trackingNumber": None,
        "cancellationReason": None,
        "shippedAt": None,
        "cancelledAt": None,
    }
    assert (await stocked.get("/inventory/products/tea")).json()["availableQuantity"] == 998


async def test_an_order_gets_an_id_and_keeps_its_prices(stocked: Client) -> None:
    lines = [TEA, {**TEA, "unitPrice": "0.3333"}, {**TEA, "unitPrice": 0}]
    placed = (await stocked.post("/orders", order(items=lines, shippingAddress="by the door"))).json()
    await stocked.put("/products/tea", {"name": "Green tea", "price": 9})
    found = (await stocked.get(f"/orders/{placed['orderId']}")).json()
    assert [line["price"] for line in found["items"]] == [2.5, 0.3333, 0]
    assert {line["productName"] for line in found["items"]} == {"Tea"}
    assert (found["itemCount"], found["totalAmount"], found["shippingSummary"]) == (3, 5.6666, "by the door")


async def test_an_order_id_that_exists(stocked: Client) -> None:
    await stocked.post("/orders", order(orderId="1"))
    again = await stocked.post("/orders", order(orderId="1"))
    assert problem(again) == (409, "version-conflict")
    assert again.json()["actual"] >= 1


async def test_an_order_without_stock_is_rejected_and_gives_back(stocked: Client) -> None:
    lines = [TEA, {"productId": "cup", "quantity": 1}]
    placed = (await stocked.post("/orders", order(items=lines))).json()
    found = await stocked.until_status(placed["orderId"], "rejected")
    assert found["cancellationReason"] == "Insufficient stock of cup: 1 requested, 0 available"
    await stocked.until("/inventory/products/tea", lambda row: row["availableQuantity"] == 1_000)


async def test_from_draft_to_shipped(stocked: Client) -> None:
    drafted = await stocked.post("/orders/drafts", {"customerId": "ann"})
    order_id = drafted.json()["orderId"]
    assert (drafted.status_code, drafted.json()) == (201, {"orderId": order_id, "status": "draft", "version": 1})
    assert drafted.headers["location"] == f"/orders/{order_id}"
    added = await stocked.post(f"/orders/{order_id}/items", {**TEA, "unitPrice": 2.25})
    assert (added.status_code, added.json()) == (200, {"orderId": order_id, "version": 2})
    assert (await stocked.post(f"/orders/{order_id}/items", TEA)).json()["version"] == 3
    submitted = await stocked.post(f"/orders/{order_id}/submit")
    assert (submitted.status_code, submitted.json()) == (
        200,
        {"orderId": order_id, "status": "pending", "version": 4, "message": "Order submitted successfully"},
    )
    await stocked.until_status(order_id, "confirmed")
    shipped = await stocked.post(f"/orders/{order_id}/ship", {"trackingNumber": "dhl-1"})
    assert (shipped.status_code, shipped.json()["status"]) == (202, "shipped")
    found = (await stocked.get(f"/orders/{order_id}")).json()
    assert (found["statusDisplay"], found["trackingNumber"], found["totalAmount"]) == ("Shipped", "dhl-1", 9.5)
    assert found["shippedAt"] == found["updatedAt"]
    assert found["shippingSummary"] is None


async def test_a_cancelled_order_gives_back_and_no_longer_counts(stocked: Client) -> None:
    placed = (await stocked.post("/orders", order())).json()
    found = await stocked.until_status(placed["orderId"], "confirmed")
    counted = await stocked.until("/customers/ann/summary", lambda row: row["totalOrders"])
    assert counted == {
        "customerId": "ann",
        "totalOrders": 1,
        "totalSpent": 5,
        "lastOrderDate": found["createdAt"],
    }
    cancelled = await stocked.post(f"/orders/{placed['orderId']}/cancel", {"reason": "too late"})
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    found = (await stocked.get(f"/orders/{placed['orderId']}")).json()
    assert (found["cancellationReason"], found["cancelledAt"]) == ("too late", found["updatedAt"])
    summary = (await stocked.get("/customers/ann/summary")).json()
    assert summary == {**counted, "totalOrders": 0, "totalSpent": 0}
    await stocked.until("/inventory/products/tea", lambda row: row["availableQuantity"] == 1_000)


async def test_what_the_rules_say(stocked: Client) -> None:
    draft = (await stocked.post("/orders/drafts", {"customerId": "ann"})).json()["orderId"]
    placed = (await stocked.post("/orders", order())).json()["orderId"]
    for path, body, message in (
        (f"/orders/{placed}/items", TEA, "Cannot modify a submitted order"),
        (f"/orders/{draft}/submit", None, "Cannot submit an empty order"),
        (f"/orders/{draft}/cancel", {"reason": "x"}, "Can only cancel pending orders"),
        (f"/orders/{draft}/ship", {"trackingNumber": "x"}, "Can only ship confirmed orders, this one is draft"),
        ("/orders", order(items=[]), "Cannot submit an empty order"),
    ):
        refused = await stocked.post(path, body)
        assert (*problem(refused), refused.json()["detail"]) == (422, "rejected", message)


async def test_page_through_orders(stocked: Client) -> None:
    made = [(await stocked.post("/orders", order())).json()["orderId"] for _ in range(5)]
    await stocked.post("/orders/drafts", {"customerId": "bob"})
    pages, cursor = [], ""
    while True:
        page = (await stocked.get(f"/orders?customerId=ann&limit=2{cursor}")).json()
        assert page["hasMore"] is (page["nextCursor"] is not None)
        pages.append([one["orderId"] for one in page["data"]])
        if not page["hasMore"]:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert len((await stocked.get("/orders")).json()["data"]) == 6
    assert len((await stocked.get("/orders?productId=tea")).json()["data"]) == 5
    drafts = (await stocked.get("/orders?status=draft&customerId=bob")).json()["data"]
    assert [one["customerName"] for one in drafts] == ["Bob"]
    assert (await stocked.get("/orders?status=draft&productId=tea")).json() == {
        "data": [],
        "hasMore": False,
        "nextCursor": None,
    }


async def test_the_orders_of_a_customer(stocked: Client) -> None:
    made = [(await stocked.post("/orders", order())).json()["orderId"] for _ in range(3)]
    answered = await stocked.get("/customers/ann/orders?limit=2")
    assert [one["orderId"] for one in answered.json()] == made[:0:-1]
    newest = answered.json()[0]
    assert newest.pop("orderDate").endswith("Z")
    assert newest == {"orderId": made[2], "totalAmount": 5, "items": [{"productName": "Tea", "quantity": 2}]}
    link = answered.links["next"]["url"]
    rest = await stocked.get(link)
    assert ([one["orderId"] for one in rest.json()], "link" in rest.headers) == (made[:1], False)


async def test_the_orders_of_a_customer_by_the_other_address(stocked: Client) -> None:
    made = [(await stocked.post("/orders", order())).json()["orderId"] for _ in range(2)]
    answered = await stocked.get("/customer/ann/orders")
    assert [one["orderId"] for one in answered.json()] == made[::-1]
    assert answered.content == (await stocked.get("/customers/ann/orders")).content
    page = await stocked.get("/customer/ann/orders?limit=1")
    assert [one["orderId"] for one in (await stocked.get(page.links["next"]["url"])).json()] == made[:1]
    assert problem(await stocked.get("/customer/none/orders")) == (404, "not-found")


async def test_what_was_initiated_is_said(stocked: Client) -> None:
    placed = await stocked.post("/orders", order())
    assert (placed.status_code, placed.json()["message"]) == (202, "Order creation initiated")
    cancelled = await stocked.post(f"/orders/{placed.json()['orderId']}/cancel", {"reason": "too late"})
    assert (cancelled.status_code, cancelled.json()["message"]) == (202, "Order cancellation initiated")


async def test_the_history_of_an_order(stocked: Client) -> None:
    placed = await stocked.post("/orders", order(), X_Actor="till 7", Idempotency_Key="k", X_Correlation_ID="c-1")
    assert placed.headers["x-correlation-id"] == "c-1"
    order_id = placed.json()["orderId"]
    await stocked.until_status(order_id, "confirmed")
    answered = await stocked.get(f"/orders/{order_id}/history")
    history = json.loads(answered.text, parse_float=Decimal)
    assert [(one["version"], one["type"]) for one in history] == [
        (1, "OrderPlaced"),
        (2, "LineReserved"),
        (3, "OrderConfirmed"),
    ]
    first = history[0]
    assert (first["actor"], len(first["commandId"]), first["recordedAt"][-1]) == ("till 7", 64, "Z")
    assert first["data"]["items"] == [
        {"productId": "tea", "productName": "Tea", "quantity": 2, "price": Decimal("2.5")}
    ]
    assert first["data"]["shippingAddress"] == HOME
    assert history[1]["actor"] == "reactor fulfilment"


async def test_sales(stocked: Client) -> None:
    await stocked.post("/inventory/products/cup/receipts", {"quantity": 10})
    for lines, where in (([TEA], HOME), ([{"productId": "cup", "quantity": 5}], {**HOME, "country": "France"})):
        placed = (await stocked.post("/orders", order(items=lines, shippingAddress=where))).json()
        await stocked.until_status(placed["orderId"], "confirmed")
    stocked.token = (await stocked.put("/products/tea", {"name": "Green tea", "price": 3})).headers["consistency-token"]
    assert (await stocked.get("/sales/products")).json() == [
        {"productId": "cup", "name": "Cup", "units": 5, "value": 20},
        {"productId": "tea", "name": "Green tea", "units": 2, "value": 5},
    ]
    assert (await stocked.get("/sales/products?limit=1")).json()[0]["productId"] == "cup"
    assert (await stocked.get("/sales/countries")).json() == [
        {"country": "France", "orders": 1, "value": 20},
        {"country": "United Kingdom", "orders": 1, "value": 5},
    ]


async def test_the_program_itself(client: Client) -> None:
    assert (await client.get("/health/live")).status_code == 200
    assert await client.until("/health/ready", lambda answer: answer["status"] == "ready")
    status = (await client.get("/status")).json()
    assert {one["name"] for one in status} >= {"order_view", "inventory", "fulfilment"}
    assert status[0].keys() >= {"version", "position", "lagEvents", "lagSeconds"}
    assert (await client.http.get("/docs")).status_code == 200


async def test_a_cursor_belongs_to_its_query(stocked: Client) -> None:
    for _ in range(3):
        await stocked.post("/orders", order())
    cursor = (await stocked.get("/orders?customerId=ann&limit=1")).json()["nextCursor"]
    assert (await stocked.get(f"/orders?customerId=ann&limit=2&cursor={cursor}")).status_code == 200
    for query in ("", "customerId=bob&", "customerId=ann&status=pending&", "productId=tea&"):
        answered = await stocked.get(f"/orders?{query}cursor={cursor}")
        assert problem(answered) == (400, "invalid-cursor")


async def test_prices_up_to_four_decimals(stocked: Client) -> None:
    for price, shown in (("0.1", "0.1"), ('"10.1234"', "10.1234"), ("10.1234", "10.1234"), ("0", "0")):
        answered = await stocked.send("PUT", "/products/tea", f'{{"name": "Tea", "price": {price}}}')
        assert f'"price":{shown},' in answered.text
    for price, shown in (("-0.0", "0"), ("1e3", "1000"), ("1000000000", "1000000000"), ('"2.50"', "2.5")):
        answered = await stocked.send("PUT", "/products/tea", f'{{"name": "Tea", "price": {price}}}')
        assert f'"price":{shown},' in answered.text


async def test_unusual_names_are_welcome(stocked: Client) -> None:
    for name in ("日本茶 ☕", "O'Brien & Söhne <b>", '"quoted"', "a%20b", "...", "null"):
        assert (await stocked.put("/products/tea", {"name": name, "price": 1})).json()["name"] == name
        made = await stocked.post("/orders", order(orderId=name))
        assert (await stocked.get(made.headers["location"])).json()["items"][0]["productName"] == name
