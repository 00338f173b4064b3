"""Responses, addresses and errors of an API that existed before it was served by an Api."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, Field, StringConstraints

from twofold import App, ConfigurationError, Decider, Page, Projection, Recorded
from twofold.api import Api, new_id, nobody

Serve = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Price:
    """Set the price."""

    price: Decimal
    note: str = ""


@dataclass(frozen=True)
class Priced:
    price: Decimal


@dataclass(frozen=True)
class Item:
    price: Decimal = Decimal(0)
    changes: int = 0


@dataclass(frozen=True)
class ItemRow:
    item_id: str
    price: Decimal = Decimal(0)
    name: str = ""


@dataclass(frozen=True)
class Found:
    """Items, and whether there are more."""

    items: tuple[str, ...]
    more: bool


def decide(command: Price, item: Item) -> list[Priced]:
    return [Priced(command.price)]


def evolve(item: Item, event: Priced) -> Item:
    return Item(event.price, item.changes + 1)


def fold(row: ItemRow, event: Priced, recorded: Recorded) -> ItemRow:
    return ItemRow(row.item_id, event.price, f"item {row.item_id}")


def no_slash(text: str) -> str:
    if "/" in text or " " in text:
        raise ValueError("No slash, no space")
    return text


def found(page: Page[ItemRow]) -> Found:
    return Found(tuple(row.item_id for row in page), page.cursor is not None)


items = Decider("item", Item(), decide, evolve)
rows = Projection("items", ItemRow, fold, indexes=["name"])
ITEMS = App("items", deciders=[items], projections=[rows])
ID = Annotated[str, StringConstraints(max_length=5), AfterValidator(no_slash)]
TYPES = {"item_id": ID, "starts": Annotated[str, StringConstraints(min_length=2)]}


def items_api(**page: Any) -> Api:
    api = Api(ITEMS, actor=nobody, types=TYPES, names="camel")
    api.command(items, Price, "PUT /items/{item_id}", id="item_id", returns=["item_id", "price", "version"])
    api.row(rows, "GET /items/{item_id}")
    api.page(rows, "GET /items", **{"order_by": "item_id", "filters": {"starts": "name__startswith"}} | page)
    return api


# Commands


async def test_a_response_is_declared_by_its_fields(serve: Serve) -> None:
    site = await serve(items_api())
    for version in (1, 2):
        priced = await site.client.put("/items/tea", json={"price": "2.50"})
        assert priced.json() == {"itemId": "tea", "price": "2.5", "version": version}
    schema = site.app.openapi()["components"]["schemas"]["PriceAnswer"]
    assert (list(schema["properties"]), schema["required"]) == (["itemId", "price", "version"],) * 2


async def test_the_id_has_the_name_of_the_category_too(serve: Serve) -> None:
    api = Api(ITEMS, actor=nobody)
    api.command(items, Price, "POST /items", id=new_id, returns=["item_id", "changes"])
    site = await serve(api)
    made = (await site.client.post("/items", json={"price": 1})).json()
    assert (len(made["item_id"]), made["changes"]) == (32, 1)


@pytest.mark.parametrize("returns", [["item_id", "colour"], "price"])
def test_a_field_that_is_none(returns: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"returns=.*must be a function, or a list with some of price, changes"
    ):
        Api(ITEMS, actor=nobody).command(items, Price, "PUT /items/{id}", returns=returns)


async def test_types_of_one_command_go_before_those_of_the_api(serve: Serve) -> None:
    api = Api(ITEMS, actor=nobody, types={"price": Annotated[Decimal, Field(ge=0)]})
    api.command(items, Price, "PUT /items/{id}")
    api.command(items, Price, "PUT /returns/{id}", types={"price": Annotated[Decimal, Field(le=0)]}, name="back")
    site = await serve(api)
    for path, sign, status in (("/items", -1, 422), ("/items", 1, 200), ("/returns", -1, 200), ("/returns", 1, 422)):
        assert (await site.client.put(f"{path}/1", json={"price": sign})).status_code == status
    document = site.app.openapi()
    body = document["paths"]["/returns/{id}"]["put"]["requestBody"]["content"]["application/json"]
    schema = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
    assert schema["description"] == "Set the price."


async def test_an_id_has_a_type_also_if_it_is_no_field(serve: Serve) -> None:
    site = await serve(items_api())
    refused = await site.client.put("/items/far%20too%20long", json={"price": 1})
    assert [(one["in"], one["field"]) for one in refused.json()["errors"]] == [("path", "itemId")]
    parameter = site.app.openapi()["paths"]["/items/{itemId}"]["put"]["parameters"][0]
    assert (parameter["name"], parameter["schema"]["maxLength"]) == ("itemId", 5)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_value_with_a_slash_that_is_refused_is_another_address(serve: Serve, method: str) -> None:
    site = await serve(items_api())
    for path, status in (("/items/a%2Fb", 404), ("/items/a%20b", 422)):
        body = {"price": 1} if method == "PUT" else None
        assert (await site.client.request(method, path, json=body)).status_code == status


async def test_a_body_that_is_missing(serve: Serve) -> None:
    site = await serve(items_api())
    sent = {"content": b"", "headers": {"Content-Type": "application/json"}}
    missing = await site.client.put("/items/tea", **sent)
    assert (missing.status_code, missing.json()["errors"]) == (
        422,
        [{"in": "body", "field": "", "message": "A body is required"}],
    )


async def test_a_new_stream_is_found_above(serve: Serve) -> None:
    api = Api(ITEMS, actor=nobody)
    api.row(rows, "GET /items/{item_id}")
    api.command(items, Price, "POST /items/offers", id=new_id, returns=["item_id"])
    api.command(items, Price, "POST /items/by-note", id="note", name="by_note")
    site = await serve(api)
    made = await site.client.post("/items/offers", json={"price": 1})
    assert made.headers["location"] == f"/items/{made.json()['item_id']}"
    assert "location" not in (await site.client.post("/items/by-note", json={"price": 1, "note": "x"})).headers


# Pages


async def three_items(serve: Serve, api: Api) -> Any:
    site = await serve(api)
    for number in (1, 2, 3):
        await site.client.put(f"/items/{number}", json={"price": number})
    await site.settle()
    return site


async def test_a_response_for_the_whole_page(serve: Serve) -> None:
    site = await three_items(serve, items_api(returns=found))
    assert (await site.client.get("/items?limit=2")).json() == {"items": ["1", "2"], "more": True}
    response = site.app.openapi()["paths"]["/items"]["get"]["responses"]["200"]
    assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Found"}


def test_a_whole_page_is_not_plain() -> None:
    with pytest.raises(ConfigurationError, match="leave out plain="):
        items_api(returns=found, plain=True)


@pytest.mark.parametrize("backward", [True, False])
async def test_pages_may_lead_forward_only(serve: Serve, backward: bool) -> None:
    site = await three_items(serve, items_api(backward=backward))
    first = await site.client.get("/items?limit=2")
    last = await site.client.get(first.links["next"]["url"])
    assert [one["itemId"] for one in last.json()["data"]] == ["3"]
    assert ("prev" in last.links, "link" in last.headers) == (backward, backward)


async def test_all_parameters_at_fault_are_named(serve: Serve) -> None:
    site = await serve(items_api())
    for query, names in (("limit=x&starts=i", ["limit", "starts"]), ("starts=i", ["starts"]), ("limit=0", ["limit"])):
        refused = await site.client.get(f"/items?{query}")
        assert sorted(one["field"] for one in refused.json()["errors"]) == names


async def test_a_parameter_of_another_name_has_its_own_type(serve: Serve) -> None:
    site = await three_items(serve, items_api())
    assert len((await site.client.get("/items?starts=item%202")).json()["data"]) == 1
