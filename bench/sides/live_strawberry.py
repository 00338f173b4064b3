"""Subscriptions by Strawberry over graphql-transport-ws: `serve` serves counters, `write` changes them elsewhere.

A task that listens to PostgreSQL puts each change into a queue for every subscriber, whose generator yields it, as in
Strawberry's documentation. There is no snapshot, nothing can be resumed, and there are no rules.
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NewType

import asyncpg
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig

from bench.protocol import steadily

CHANNEL = "changed_counters"
TABLE = "CREATE TABLE counters (key text PRIMARY KEY, n bigint NOT NULL, at bigint NOT NULL)"
CHANGE = """
WITH changed AS (
    INSERT INTO counters VALUES ($1, 1, $2) ON CONFLICT (key) DO UPDATE SET n = counters.n + 1, at = $2 RETURNING *
)
SELECT pg_notify($3, to_jsonb(changed)::text) FROM changed
"""

Large = NewType("Large", int)
"""GraphQL's own integers have 32 bits."""


@strawberry.type
@dataclass
class Counter:
    """A row."""

    key: str
    n: int
    at: Large


NONE = Counter(key="", n=0, at=Large(0))
"""Shows a client that its subscription has begun."""

waiting: set[asyncio.Queue[Counter]] = set()


@strawberry.type
class Query:
    """A schema needs one."""

    nothing: str = ""


@strawberry.type
class Subscription:
    """What is measured."""

    @strawberry.subscription
    async def counters(self) -> AsyncGenerator[Counter, None]:
        """Each change."""
        queue: asyncio.Queue[Counter] = asyncio.Queue()
        waiting.add(queue)
        try:
            yield NONE
            while True:
                yield await queue.get()
        finally:
            waiting.discard(queue)


def heard(_connection: object, _pid: object, _channel: object, payload: object) -> None:
    """A counter has changed."""
    row = json.loads(str(payload))
    counter = Counter(key=row["key"], n=row["n"], at=Large(row["at"]))
    for queue in waiting:
        queue.put_nowait(counter)


def app(url: str) -> Starlette:
    """The application."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLE)
        await connection.add_listener(CHANNEL, heard)
        try:
            yield
        finally:
            await connection.close()

    large = {Large: strawberry.scalar(name="Large", serialize=int, parse_value=int)}
    schema = strawberry.Schema(Query, subscription=Subscription, config=StrawberryConfig(scalar_map=large))
    return Starlette(routes=[WebSocketRoute("/graphql", GraphQL(schema))], lifespan=lifespan)


def serve(url: str) -> None:
    """Serve until a signal arrives."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    config = uvicorn.Config(
        app(url), ws="websockets-sansio", ws_per_message_deflate=False, log_config=None, timeout_graceful_shutdown=1
    )
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run([listening])


async def write(url: str, per_second: float, seconds: float) -> None:
    """Change the counters in turn, at a steady rate."""
    connection = await asyncpg.connect(url)
    async for number in steadily(per_second, seconds):
        await connection.execute(CHANGE, f"k{number % 100}", time.monotonic_ns(), CHANNEL)
    await connection.close()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        asyncio.run(write(sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
