"""The edges by hand: a Starlette route for each address, the bare driver, and msgspec.

It reads the read model's public name with one plain SELECT and returns its columns: no token, no checkpoint, nothing
about parked rows, no cursor, no entity tag, no limits. SQLite is read on the event loop itself, which is as fast as it
gets, and stops all other requests while the disk is slow. PostgreSQL is read through asyncpg's pool.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.sides.edges_server import serve

STOCK = ("product_id", "warehouse", "available", "reserved", "counted_at")
ORDER = (
    *("order_id", "customer_id", "status", "item_count", "subtotal", "tax", "total", "currency", "paid", "placed_at"),
    *("due_on", "shipped_at", "tags", "lines"),
)
PAID, TAGS, LINES = ORDER.index("paid"), ORDER.index("tags"), ORDER.index("lines")

encode = msgspec.json.Encoder().encode


class Sqlite:
    """One connection, used on the event loop."""

    mark = "?{}"

    def __init__(self, file: Path) -> None:
        self._db = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)

    async def open(self) -> None:
        """Nothing to do."""

    async def rows(self, sql: str, *values: Any) -> Sequence[Any]:
        """All rows of a query."""
        return self._db.execute(sql, values).fetchall()


class Postgres:
    """asyncpg's pool."""

    mark = "${}"

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        """Connect."""
        self._pool = await asyncpg.create_pool(self._url)

    async def rows(self, sql: str, *values: Any) -> Sequence[Any]:
        """All rows of a query."""
        found: Sequence[Any] = await self._pool.fetch(sql, *values)
        return found


class Edges:
    """The four addresses."""

    def __init__(self, store: Sqlite | Postgres) -> None:
        self._store, first, second = store, store.mark.format(1), store.mark.format(2)
        stock, orders = f"SELECT {', '.join(STOCK)} FROM stock", f"SELECT {', '.join(ORDER)} FROM orders"
        self._stock_row = f"{stock} WHERE product_id = {first}"
        self._stock_page = f"{stock} WHERE warehouse = {first} ORDER BY product_id LIMIT {second}"
        self._order_row = f"{orders} WHERE order_id = {first}"
        self._order_page = f"{orders} WHERE customer_id = {first} ORDER BY placed_at DESC, order_id DESC LIMIT {second}"

    async def stock_row(self, request: Request) -> Response:
        """GET /stock/{product_id}"""
        found = await self._store.rows(self._stock_row, request.path_params["product_id"])
        return answer(dict(zip(STOCK, found[0], strict=True))) if found else Response(status_code=404)

    async def stock_page(self, request: Request) -> Response:
        """GET /stock?warehouse=&limit="""
        sent = request.query_params
        found = await self._store.rows(self._stock_page, sent["warehouse"], int(sent["limit"]))
        return answer({"data": [dict(zip(STOCK, row, strict=True)) for row in found]})

    async def order_row(self, request: Request) -> Response:
        """GET /orders/{order_id}"""
        found = await self._store.rows(self._order_row, request.path_params["order_id"])
        return answer(order(found[0])) if found else Response(status_code=404)

    async def order_page(self, request: Request) -> Response:
        """GET /orders?customer_id=&limit="""
        sent = request.query_params
        found = await self._store.rows(self._order_page, sent["customer_id"], int(sent["limit"]))
        return answer({"data": [order(row) for row in found]})


def order(row: Sequence[Any]) -> dict[str, Any]:
    """SQLite holds booleans as numbers, and both hold lists as JSON, which is sent as it is."""
    found = dict(zip(ORDER, row, strict=True))
    found["paid"] = bool(row[PAID])
    found["tags"], found["lines"] = msgspec.Raw(row[TAGS]), msgspec.Raw(row[LINES])
    return found


def answer(body: Any) -> Response:
    """A JSON response."""
    return Response(encode(body), media_type="application/json")


def made(url: str) -> Starlette:
    """The app on this store."""
    is_file = url.startswith("sqlite:///")
    store = Sqlite(Path(url.removeprefix("sqlite:///")).with_suffix(".read.db")) if is_file else Postgres(url)
    edges = Edges(store)

    @asynccontextmanager
    async def opened(app: Starlette) -> AsyncIterator[None]:
        await store.open()
        yield

    return Starlette(
        routes=[
            Route("/stock", edges.stock_page),
            Route("/stock/{product_id}", edges.stock_row),
            Route("/orders", edges.order_page),
            Route("/orders/{order_id}", edges.order_row),
        ],
        lifespan=opened,
    )


if __name__ == "__main__":
    serve(made(sys.argv[1]))
