"""Rollups are rows of the same statement, and cannot be subscribed to."""

from decimal import Decimal
from typing import Any

import httpx2

from tests.graphql.conftest import Site
from tests.web.rest.test_rollups import Sold, sales, selling, shops, turnover
from twofold import Recorded
from twofold.api import Api, Many, One, nobody
from twofold.graphql.schema import schema_of
from twofold.web.application import web_app


def served() -> Api:
    api = Api(shops, actor=nobody)
    api.page(sales, name="sales")
    api.row(turnover, at="GET /turnover/{shop}", name="turnover")
    api.page(turnover, name="turnovers", order_by="-amount")
    api.relations(sales, of_shop=One(turnover, by="shop"))
    api.relations(turnover, all_sales=Many(sales, by="shop"))
    return api


def test_there_is_no_subscription_to_a_rollup() -> None:
    subscription = schema_of(served()).subscription_type
    assert subscription is not None
    assert list(subscription.fields) == ["sales"]


async def test_rows_lists_and_relations_are_one_statement(compiling: str, monkeypatch: Any) -> None:
    def fold(row: Any, event: Sold, recorded: Recorded) -> Any:
        if event.shop == "bad":
            raise ValueError("bad")
        return evolve(row, event, recorded)

    evolve = sales.evolve
    monkeypatch.setitem(vars(sales), "evolve", fold)
    async with shops.open(compiling) as running:
        made = web_app(running, served())
        transport: Any = httpx2.ASGITransport(app=made, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            site = Site(running, made, client)
            for number, (shop, amount) in enumerate((("a", "1.5"), ("b", "2"), ("a", "1"))):
                done = await running.execute(selling, str(number), Sold(shop, Decimal(amount)))
            query = """{
                turnover(shop: "a") { sales mean allSales { id } }
                turnovers(sales__ge: 1) { shop amount }
                sales(shop: "b") { ofShop { amount sales } }
            }"""
            found = await site.send(query, {"Consistency-Token": done.receipt.token})
            assert found.json() == {
                "data": {
                    "turnover": {"sales": 2, "mean": "1.25", "allSales": [{"id": "0"}, {"id": "2"}]},
                    "turnovers": [{"shop": "a", "amount": "2.5"}, {"shop": "b", "amount": "2"}],
                    "sales": [{"ofShop": {"amount": "2", "sales": 1}}],
                }
            }
            done = await running.execute(selling, "bad", Sold("bad", Decimal(1)))
            parked = await site.send(query, {"Consistency-Token": done.receipt.token})
            assert [one["extensions"]["code"] for one in parked.json()["errors"]] == ["ROW_PARKED"] * 2
            assert parked.json()["data"]["turnover"] is None
            assert parked.json()["extensions"] == {"parked": {"turnovers": 1, "sales": 1}}
            assert (site.execution.compiled, sum(site.execution.fallbacks.values())) == (2, 0)
