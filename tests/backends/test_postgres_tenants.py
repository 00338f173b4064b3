"""Tenants that share read models: one finds nothing of another, by SQL, over HTTP, live, by a cursor or a count."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from twofold import App, Decider, InvalidCursor, Projection, Recorded, operate
from twofold.api import Actor, Api, logged_in
from twofold.sql import View
from twofold.web.application import web_app

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
_BLOCK = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Place:
    tenant: str
    amount: int


@dataclass(frozen=True)
class Placed:
    tenant: str
    amount: int


@dataclass(frozen=True)
class Order:
    order_id: str
    tenant: str = ""
    amount: int = 0


@dataclass(frozen=True)
class Total:
    tenant: str
    amount: int = 0


def decide(command: Place, placed: bool) -> list[Placed]:
    return [Placed(command.tenant, command.amount)]


def evolve(placed: bool, event: Placed) -> bool:
    return True


def fold(row: Order, event: Placed, recorded: Recorded) -> Order | None:
    return Order(row.order_id, event.tenant, event.amount)


order: Decider[Place, bool, Placed] = Decider("order", False, decide, evolve)
orders = Projection("orders", Order, fold, indexes=["tenant"], security_invoker=True)
totals = View(
    "totals",
    Total,
    sql="SELECT tenant, sum(amount) AS amount FROM {orders} GROUP BY tenant",
    over=[orders],
    security_invoker=True,
)
app = App("shop", deciders=[order], projections=[orders], views=[totals])


async def by_header(headers: Mapping[str, str]) -> Actor | None:
    tenant = headers.get("x-tenant")
    return None if tenant is None else Actor(tenant, {"tenant": tenant})


def of_tenant(actor: Actor | None, projection: Projection[Any]) -> Mapping[str, Any]:
    assert actor is not None
    return {"tenant": actor.claims["tenant"]}


def api() -> Api:
    made = Api(app, actor=by_header, scope=of_tenant, allow=logged_in)
    made.row(orders)
    made.page(orders)
    made.row(totals)
    made.page(totals)
    return made


@asynccontextmanager
async def reader(url: str) -> AsyncIterator[Any]:
    """A session of a role that may read, under the policies of docs/sql.md."""
    role = f"tenant_{url.rpartition('/')[2].partition('?')[0]}"[:60]
    own, other = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        [documented] = [block for block in _BLOCK.findall(PAGE.read_text("utf-8")) if "tenant_reader" in block]
        await own.execute(f'CREATE ROLE "{role}"')
        await own.execute(documented.replace("tenant_reader", f'"{role}"'))
        await own.execute(f'GRANT SELECT ON totals, twofold.totals_v1 TO "{role}"')
        await other.execute(f'SET ROLE "{role}"')
        yield other
    finally:
        await other.close()
        await own.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
        await own.close()


async def seen(sql: Any, tenant: str | None) -> tuple[list[str], int, list[str]]:
    async with sql.transaction():
        if tenant is not None:
            await sql.execute("SELECT set_config('app.tenant', $1, true)", tenant)
        ids = [row[0] for row in await sql.fetch("SELECT order_id FROM orders ORDER BY 1")]
        count = await sql.fetchval("SELECT count(*) FROM orders")
        return ids, count, [row[0] for row in await sql.fetch("SELECT tenant FROM totals")]


@pytest.fixture
def url(new_store: Callable[[], str]) -> str:
    return new_store()


async def test_by_sql(url: str) -> None:
    """By the public names, also after the table was built again; a session without a tenant sees nothing."""
    async with app.open(url) as running:
        for number, tenant in enumerate("aabb"):
            receipt = (await running.execute(order, str(number), Place(tenant, 1))).receipt
        await running.find(orders, after=receipt)
    async with reader(url) as sql:
        for _ in range(2):
            assert await seen(sql, "a") == (["0", "1"], 2, ["a"])
            assert await seen(sql, "b") == (["2", "3"], 2, ["b"])
            assert await seen(sql, None) == ([], 0, [])
            assert await seen(sql, "a' OR 'x' = 'x") == ([], 0, [])
            async with app.look(url) as running:
                async for _ in operate.rebuild(running, orders, from_scratch=True):
                    pass


async def test_over_http_live_by_cursor_and_by_count(url: str) -> None:
    async with app.open(url) as running:
        for number, tenant in enumerate("ababab"):
            receipt = (await running.execute(order, str(number), Place(tenant, 1))).receipt
        await running.find(orders, after=receipt)
        transport = httpx2.ASGITransport(app=web_app(running, api()), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers={"X-Tenant": "a"}) as client:
            assert (await client.get("/orders/0")).status_code == 200
            assert (await client.get("/orders/1")).status_code == 404
            assert (await client.get("/totals/b")).status_code == 404
            page = await client.get("/orders?limit=2", headers={"Prefer": "count=exact"})
            assert ([row["order_id"] for row in page.json()["data"]], page.headers["Total-Count"]) == (["0", "2"], "3")
            assert (await client.get("/orders?tenant=b")).json()["data"] == []
            assert [row["tenant"] for row in (await client.get("/totals")).json()["data"]] == ["a"]
            others = await client.get("/orders?limit=1", headers={"X-Tenant": "b"})
            stolen = await client.get("/orders", params={"cursor": others.json()["next_cursor"]})
            assert stolen.status_code == 400 or {row["tenant"] for row in stolen.json()["data"]} <= {"a"}

        scope = {"tenant": "a"}
        assert await running.queries.count(orders, scope=scope) == 3
        cursor = (await running.queries.find(orders, scope={"tenant": "b"}, limit=1)).cursor
        with pytest.raises(InvalidCursor):
            await running.queries.find(orders, scope=scope, limit=1, cursor=cursor)
        async with aclosing(running.watching.watch(orders, scope=scope)) as watched:
            assert sorted((await anext(watched)).rows) == ["0", "2", "4"]
            await running.execute(order, "7", Place("b", 1))
            await running.execute(order, "8", Place("a", 1))
            assert [*(await anext(watched)).rows] == ["8"]


async def test_by_graphql(url: str) -> None:
    """Rows, lists, connections and views, in compiled statements and in those that the executor runs."""
    async with app.open(url) as running:
        for number, tenant in enumerate("ababab"):
            receipt = (await running.execute(order, str(number), Place(tenant, 1))).receipt
        await running.find(orders, after=receipt)
        web = web_app(running, api())
        transport = httpx2.ASGITransport(app=web, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(query: str, tenant: str = "a") -> Any:
                answer = (await client.post("/graphql", json={"query": query}, headers={"X-Tenant": tenant})).json()
                assert "errors" not in answer, answer
                return answer["data"]

            page = 'page: ordersListConnection(first: 9, tenant__ge: "b") { nodes { orderId } }'
            for also in ("", page):  # a connection is not compiled
                of_a = await ask(
                    f"""{{ {also}own: orders(orderId: "0") {{ tenant }} other: orders(orderId: "1") {{ tenant }}
                    ordersList {{ orderId }} ofB: ordersList(tenant: "b") {{ orderId }}
                    any: ordersList(orderId__in: ["1", "2"], tenant__ne: "a") {{ orderId }}
                    totalsList {{ tenant }} totals(tenant: "b") {{ amount }} }}"""
                )
                assert (of_a["own"], of_a["other"]) == ({"tenant": "a"}, None)
                assert [row["orderId"] for row in of_a["ordersList"]] == ["0", "2", "4"]
                assert (of_a["ofB"], of_a["any"], of_a.get("page")) in (([], [], None), ([], [], {"nodes": []}))
                assert (of_a["totalsList"], of_a["totals"]) == ([{"tenant": "a"}], None)
            of_b = await ask("{ ordersListConnection(first: 1) { edges { cursor } } }", "b")
            cursor = of_b["ordersListConnection"]["edges"][0]["cursor"]
            stolen = f'{{ ordersListConnection(first: 9, after: "{cursor}") {{ nodes {{ tenant }} }} }}'
            answer = (await client.post("/graphql", json={"query": stolen}, headers={"X-Tenant": "a"})).json()
            assert "errors" in answer or {"tenant": "b"} not in answer["data"]["ordersListConnection"]["nodes"]
            assert (web.state.graphql.compiled, web.state.graphql.fallbacks.total()) == (1, 3)
