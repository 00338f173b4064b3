"""Products for buyers, and corrections of their stock."""

from typing import Any

import pytest

from shop.app import shop
from shop.http.app import shop_http
from shop.tests.http.client import Client, client_of, fields, problem
from shop.write.stock import ReceiveStock, stock


async def test_a_product_with_its_price_and_stock(stocked: Client) -> None:
    assert (await stocked.get("/products/tea")).json() == {
        "productId": "tea",
        "name": "Tea",
        "price": 2.5,
        "availableQuantity": 1_000,
    }
    await stocked.put("/products/tea", {"name": "Green tea", "price": 3})
    found = (await stocked.get("/products/tea")).json()
    assert (found["name"], found["price"], found["availableQuantity"]) == ("Green tea", 3, 1_000)
    assert (await stocked.get("/products/cup")).json()["availableQuantity"] == 0
    assert problem(await stocked.get("/products/none")) == (404, "not-found")


async def test_stock_alone_is_not_a_product() -> None:
    async with shop.open("memory:") as running, client_of(shop_http(running)) as client:
        client.token = (await running.execute(stock, "tea", ReceiveStock(5))).receipt.token
        assert problem(await client.get("/products/tea")) == (404, "not-found")
        assert (await client.get("/products")).json() == {"data": [], "hasMore": False, "nextCursor": None}
        await client.put("/products/tea", {"name": "Tea", "price": 1})
        assert (await client.get("/products/tea")).json()["availableQuantity"] == 5
        assert len((await client.get("/products")).json()["data"]) == 1


async def test_page_through_products_by_name(stocked: Client) -> None:
    for product_id, name in (("1", "Biscuit"), ("2", "Tea"), ("3", "Apple")):
        await stocked.put(f"/products/{product_id}", {"name": name, "price": 1})
    pages, more = [], ""
    while True:
        page = (await stocked.get(f"/products?limit=2{more}")).json()
        assert page["hasMore"] is (page["nextCursor"] is not None)
        pages.append([(one["name"], one["productId"]) for one in page["data"]])
        if not page["hasMore"]:
            break
        more = f"&cursor={page['nextCursor']}"
    assert pages == [[("Apple", "3"), ("Biscuit", "1")], [("Cup", "cup"), ("Tea", "2")], [("Tea", "tea")]]


async def test_search_products_by_the_beginning_of_a_name(stocked: Client) -> None:
    for product_id, name in (("1", "100% Tea"), ("2", "Teapot"), ("3", "100"), ("4", "T_a")):
        await stocked.put(f"/products/{product_id}", {"name": name, "price": 1})

    async def found(prefix: str, rest: str = "") -> list[str]:
        page = (await stocked.get(f"/products?namePrefix={prefix}{rest}")).json()
        names = [one["name"] for one in page["data"]]
        return names + (await found(prefix, f"&limit=1&cursor={page['nextCursor']}") if page["hasMore"] else [])

    assert await found("Tea", "&limit=1") == ["Tea", "Teapot"]
    assert await found("100%25") == ["100% Tea"]
    assert await found("T_") == ["T_a"]
    assert await found("tea") == []
    cursor = (await stocked.get("/products?namePrefix=Tea&limit=1")).json()["nextCursor"]
    assert problem(await stocked.get(f"/products?namePrefix=T&cursor={cursor}")) == (400, "invalid-cursor")


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "name=Tea", "namePrefix=", "namePrefix=%00"])
async def test_a_page_of_products_that_is_none(stocked: Client, query: str) -> None:
    assert fields(await stocked.get(f"/products?{query}")) == [query.partition("=")[0]]


async def test_correct_the_stock(stocked: Client) -> None:
    broken = await stocked.post("/inventory/products/tea/adjustments", {"quantity": -3, "reason": "broken"})
    assert (broken.status_code, broken.json()) == (202, {"productId": "tea", "availableQuantity": 997})
    assert (await stocked.get("/inventory/products/tea")).json()["availableQuantity"] == 997
    assert (await stocked.get("/products/tea")).json()["availableQuantity"] == 997
    found = await stocked.post("/inventory/products/tea/adjustments", {"quantity": 1, "reason": "found"})
    assert found.json()["availableQuantity"] == 998


async def test_stock_is_never_corrected_below_zero(stocked: Client) -> None:
    refused = await stocked.post("/inventory/products/tea/adjustments", {"quantity": -1_001, "reason": "broken"})
    detail = "Cannot adjust the stock by -1001: only 1000 are available"
    assert (*problem(refused), refused.json()["detail"]) == (422, "rejected", detail)
    assert (await stocked.get("/products/tea")).json()["availableQuantity"] == 1_000


async def test_a_correction_that_is_sent_again_is_one(stocked: Client) -> None:
    body = {"quantity": -3, "reason": "broken"}
    answers = [await stocked.post("/inventory/products/tea/adjustments", body, Idempotency_Key="k") for _ in range(2)]
    assert [answer.json()["availableQuantity"] for answer in answers] == [997, 997]
    assert (await stocked.get("/products/tea")).json()["availableQuantity"] == 997


@pytest.mark.parametrize(
    ("body", "at_fault"),
    [
        ({}, ["/quantity", "/reason"]),
        ({"quantity": "-3", "reason": "broken"}, ["/quantity"]),
        ({"quantity": -1_000_001, "reason": "broken"}, ["/quantity"]),
        ({"quantity": -3.5, "reason": ""}, ["/quantity", "/reason"]),
        ({"quantity": -3, "reason": "broken", "by": "me"}, ["/by"]),
    ],
)
async def test_a_correction_that_is_none(stocked: Client, body: Any, at_fault: list[str]) -> None:
    assert fields(await stocked.post("/inventory/products/tea/adjustments", body)) == at_fault


async def test_a_correction_of_nothing(stocked: Client) -> None:
    no_change = await stocked.post("/inventory/products/tea/adjustments", {"quantity": 0, "reason": "counted"})
    assert problem(no_change) == (422, "rejected")
    unknown = await stocked.post("/inventory/products/none/adjustments", {"quantity": 1, "reason": "found"})
    assert problem(unknown) == (404, "not-found")
