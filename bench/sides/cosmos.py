"""twofold on Azure Cosmos DB, with its read models on SQLite."""

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

from bench.orders import app, event, order_rows
from bench.protocol import callers, serve
from bench.sides.arguments import Arguments
from bench.workload import history, order_id
from twofold.feed.feed import LARGEST_PAGE, Feed
from twofold.feed.partitions import feeds
from twofold.messages import Append, Meta, Position, Stream

FILL_AT_ONCE = 500
LOOK_S = 0.01


class Cosmos:
    """On one container."""

    def __init__(self, arguments: Arguments) -> None:
        self._url, self._rows = arguments.url, arguments.more["read_store"]
        self._orders = count(1)
        self._stack = AsyncExitStack()

    async def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Append single events to new streams."""
        async with app().open(self._url, read_store=self._rows) as running:

            async def one() -> None:
                number = next(self._orders)
                await running.append(Stream("order", order_id(number)), [event(number)], expected_version=0)

            await one()
            return (await callers([one] * clients, seconds)).answer()

    async def fill(self, events: int) -> dict[str, Any]:
        """Store the first events of the workload, each as its own append."""
        async with app().open(self._url, read_store=self._rows) as running:
            codec, log = running.app.codec, running.log
            batch: list[Append] = []
            for at, (number, version) in enumerate(history(events), start=1):
                meta = Meta(f"fill-{at}", f"fill-{at}")
                stream = Stream("order", order_id(number))
                batch.append(Append(stream, [codec.encode(event(number, version))], version - 1, meta))
                if len(batch) == FILL_AT_ONCE or at == events:
                    await log.commit(batch)
                    batch.clear()
            return {"count": sum([await stored(feed) for feed in feeds(log).values()])}

    async def stand_by(self) -> dict[str, Any]:
        """Open the App with a read model, without working on it yet."""
        opened = app(order_rows).open(self._url, read_store=self._rows, work=False)
        self._running = await self._stack.enter_async_context(opened)
        return {}

    async def catch_up(self) -> dict[str, Any]:
        """Work, together with other processes, until every partition is folded."""
        log, checkpoints = self._running.log, self._running.rows.checkpoints
        heads = {number: await feed.head() for number, feed in feeds(log).items()}
        self._running.work()
        while True:
            found = await checkpoints.all_partitions(order_rows.follows)
            if all(one.position >= heads[one.follower.partition] for one in found):
                break
            await asyncio.sleep(LOOK_S)
        return {"count": await self._running.count(order_rows)}

    async def close(self) -> dict[str, Any]:
        """Close the App."""
        await self._stack.aclose()
        return {}


async def stored(feed: Feed) -> int:
    """How many events there are."""
    at, found = Position(feed.partition, 0), 0
    while (page := await feed.read(at, LARGEST_PAGE)).upto != at:
        at, found = page.upto, found + len(page.entries)
    return found


if __name__ == "__main__":
    serve(Cosmos(Arguments.read()))
