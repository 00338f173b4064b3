"""twofold, through its public front door: `App.open`, `append`, `execute`, `load`, `get`."""

import random
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from bench.orders import add_items, app, event, order_rows, orders, product_rows
from bench.protocol import Clocked, callers, percentile, serve
from bench.sides.arguments import Arguments
from bench.workload import history, order_id
from twofold import Position, Projection, Running
from twofold.messages import Append, Meta, Stream

FILL_AT_ONCE = 1_000
PROJECTIONS: dict[str, Projection[Any]] = {"order_row": order_rows, "product_row": product_rows}


class Twofold:
    """On one store."""

    def __init__(self, arguments: Arguments) -> None:
        self._url = arguments.url
        self._orders = count(1)

    # ---- writing

    async def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Single events to new streams."""
        async with app().open(self._url) as running:

            async def one() -> None:
                number = next(self._orders)
                await running.append(Stream("order", order_id(number)), [event(number)], expected_version=0)

            await one()  # connections and statements are made before the clock runs
            done = await callers([one] * clients, seconds)
            made = running.commits.counts
            return done.answer(before=1, appends_per_batch=round(made.appends / made.batches, 1))

    async def fill(self, events: int) -> dict[str, Any]:
        """The first so many events of the workload, each an append of its own."""
        async with app().open(self._url) as running:
            codec, log = running.app.codec, running.log
            batch: list[Append] = []
            for at, (number, version) in enumerate(history(events), start=1):
                stream = Stream("order", order_id(number))
                meta = Meta(f"fill-{at}", f"fill-{at}")
                batch.append(Append(stream, [codec.encode(event(number, version))], version - 1, meta))
                if len(batch) == FILL_AT_ONCE or at == events:
                    await log.commit(batch)
                    batch.clear()
            return {"count": (await log.head()).offset}


if __name__ == "__main__":
    serve(Twofold(Arguments.read()))
