"""A Rollup is served like any read model, but cannot be subscribed to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from tests.web.rest.conftest import Serve
from twofold import App, Decider, InvalidQuery, Projection, Recorded
from twofold.api import Api, by_rule, nobody
from twofold.rollup import Rollup, average, count, total


@dataclass(frozen=True)
class Sold:
    """A sale."""

    shop: str
    amount: Decimal


@dataclass(frozen=True)
class Sale:
    """A row of a sale."""

    id: str
    shop: str = ""
    amount: Decimal = Decimal(0)


@dataclass(frozen=True)
class Turnover:
    """What a shop has sold."""

    shop: str
    sales: int
    amount: Decimal
    mean: Decimal


def decide(command: Sold, state: None) -> list[Sold]:
    return [command]


def evolve(state: None, event: Sold) -> None:
    return None


def fold(row: Sale, event: Sold, recorded: Recorded) -> Sale:
    return Sale(row.id, event.shop, event.amount)


selling = Decider("sale", None, decide, evolve)
sales = Projection("sales", Sale, fold)
turnover = Rollup(
    "turnover",
    Turnover,
    of=sales,
    by="shop",
    sales=count(),
    amount=total("amount"),
    mean=average("amount", scale=2),
)
shops = App("shops", deciders=[selling], projections=[sales, turnover])


async def test_rows_and_pages_are_served(serve: Serve) -> None:
    api = Api(shops, actor=nobody, decimals="number")
    api.command(selling, Sold, at="POST /sales/{id}")
    api.row(turnover, at="GET /shops/{shop}/turnover")
    api.page(turnover, at="GET /turnover", order_by="-amount")
    site = await serve(api)
    for number, (shop, amount) in enumerate((("a", 1.5), ("b", 2), ("a", 1))):
        sold = await site.client.post(f"/sales/{number}", json={"shop": shop, "amount": amount})
        assert sold.status_code == 200, sold.text
    token = {"Consistency-Token": sold.headers["consistency-token"]}
    row = await site.client.get("/shops/a/turnover", headers=token)
    assert (row.status_code, row.json()) == (200, {"shop": "a", "sales": 2, "amount": 2.5, "mean": 1.25})
    page = await site.client.get("/turnover", headers=token)
    assert [one["shop"] for one in page.json()["data"]] == ["a", "b"]
    assert (await site.client.get("/shops/c/turnover", headers=token)).status_code == 404


async def test_it_is_served_by_rule_and_listed_in_the_status(serve: Serve) -> None:
    site = await serve(by_rule(shops))
    await site.settle()
    assert (await site.client.get("/turnover")).status_code == 200
    assert {line["name"] for line in (await site.client.get("/status")).json()} == {"sales", "turnover"}
    assert (await site.client.get("/metrics")).status_code == 200


async def test_a_subscription_is_refused_with_what_to_watch_instead(serve: Serve) -> None:
    site = await serve(by_rule(shops))
    live = await site.client.get("/turnover", headers={"Accept": "text/event-stream"})
    assert live.status_code == 422, live.text
    assert "watch sales" in live.text


async def test_no_document_promises_a_subscription(serve: Serve) -> None:
    site = await serve(by_rule(shops))
    messages = (await site.client.get("/asyncapi.json")).json()
    assert list(messages["channels"]) == ["sales_list", "sales", "live", "events"]
    subscribe = messages["components"]["messages"]["live_subscribe"]["payload"]
    assert subscribe["properties"]["subscribe"]["enum"] == ["sales"]
    paths = (await site.client.get("/openapi.json")).json()["paths"]
    texts = {path: item["get"]["responses"]["200"]["description"] for path, item in paths.items() if "get" in item}
    assert {path for path, text in texts.items() if "event-stream" in text} == {"/sales", "/sales/{id}"}
    assert texts.keys() >= {"/turnover", "/turnover/{shop}"}
    with pytest.raises(InvalidQuery, match=r"rollup 'turnover' cannot be watched, .*: watch sales"):
        site.app.state.offers.subscriptions("turnover", {})
    assert site.app.state.offers.subscriptions("sales", {})
