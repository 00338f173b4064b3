"""twofold through its public API: `App.open`, `append`, `execute`, `load`, `get`."""

import asyncio
import random
import sys
import time
from contextlib import aclosing
from itertools import count
from typing import Any

from bench.memory import PeakMemory
from bench.orders import (
    add_items,
    app,
    customer_rollup,
    customer_rows,
    event,
    order_rows,
    order_structs,
    orders,
    product_rows,
)
from bench.protocol import Clocked, callers, serve
from bench.sides.arguments import Arguments
from bench.sides.lag import Lag
from bench.workload import history, order_id
from twofold import Position, Projection, Running, operate
from twofold.messages import Append, Meta, Stream

FILL_AT_ONCE = 1_000
FOLDED: tuple[Projection[Any], ...] = (order_rows, order_structs, product_rows, customer_rows)
PROJECTIONS = {one.name: one for one in FOLDED}


class Twofold:
    """On one store."""

    def __init__(self, arguments: Arguments) -> None:
        self._url = arguments.url
        self._orders = count(1)

    # ---- writing

    async def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Append single events to new streams."""
        async with app().open(self._url) as running:

            async def one() -> None:
                number = next(self._orders)
                await running.append(Stream("order", order_id(number)), [event(number)], expected_version=0)

            await one()  # connect and prepare statements before the clock starts
            done = await callers([one] * clients, seconds)
            made = running.commits.counts
            return done.answer(before=1, appends_per_batch=round(made.appends / made.batches, 1))

    async def fill(self, events: int) -> dict[str, Any]:
        """Store the first events of the workload, each as its own append."""
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

    # ---- reading

    async def catch_up(self, projection: str, read_store: str, rollup: bool = False) -> dict[str, Any]:
        """Fold a projection from the beginning to the head, as a running App does."""
        chosen = PROJECTIONS[projection]
        more = [customer_rollup] if rollup else []
        async with app(chosen, *more).open(self._url, read_store=read_store, work=False) as running:
            head = await running.log.head()
            began = time.perf_counter()
            running.work()
            await _reached(running, chosen, head)
            return {"count": head.offset, "seconds": time.perf_counter() - began}

    async def rebuild(self, projection: str, read_store: str) -> dict[str, Any]:
        """Rebuild the table of a projection, as `twofold rebuild` does."""
        async with app(PROJECTIONS[projection]).look(self._url, read_store=read_store) as running:
            head, memory = await running.log.head(), PeakMemory()
            began = time.perf_counter()
            [following] = await operate.prepared(running, running.app.projection(projection))
            async with aclosing(following.catch_up()) as positions:
                async for _ in positions:
                    pass
            return {"count": head.offset, "seconds": time.perf_counter() - began, "added_mb": memory.added_mb()}

    async def fill_streams(self, streams: int, length: int) -> dict[str, Any]:
        """Store `streams` streams of `events` events each."""
        async with app().open(self._url) as running:
            for number in range(streams):
                events = [event(number, 1 if at == 0 else 2) for at in range(length)]
                await running.append(Stream("order", order_id(number)), events, expected_version=0)
        return {"count": streams * length}

    async def load(self, streams: int, length: int, seconds: float) -> dict[str, Any]:
        """Load whole streams one after another, each for the first time: the App is reopened before every pass."""
        clocked, clock = Clocked(), time.perf_counter
        while clocked.seconds < seconds:
            async with app().open(self._url, work=False) as running:
                began = clock()
                for number in range(streams):
                    before = clock()
                    state, version = await running.load(orders, order_id(number))
                    clocked.latencies_s.append(clock() - before)
                    if version != length or state.item_count != 2 * length:
                        raise ValueError(f"order {number} was loaded as {state} of version {version}")
                clocked.seconds += clock() - began
        return clocked.answer()

    async def commands(self, clients: int, streams: int, seconds: float) -> dict[str, Any]:
        """Send commands to random streams: load, decide, append."""
        chance, numbers = random.Random(streams), count(1)
        async with app().open(self._url) as running:

            async def one() -> None:
                await running.execute(orders, order_id(chance.randrange(streams)), add_items(next(numbers)))

            done = await callers([one] * clients, seconds)
            return done.answer()

    async def lag(self, per_second: int, seconds: float) -> dict[str, Any]:
        """The time from the acknowledgement of an append until its row can be read, at this rate of appends."""
        async with app(order_rows).open(self._url) as running:
            lag = Lag(running, self._orders)
            await lag.settle()
            return await lag.measured(per_second, seconds)

    async def lag_during_import(self, per_second: int, events: int) -> dict[str, Any]:
        """The same while another process imports events."""
        async with app(order_rows).open(self._url) as running:
            lag = Lag(running, self._orders)
            await lag.settle()
            command = (sys.executable, "-P", "-m", "bench.sides.importer", self._url, str(events))
            importer = await asyncio.create_subprocess_exec(*command)
            ended = asyncio.ensure_future(importer.wait())
            answer = await lag.measured_until(ended, per_second)
            if ended.result() != 0:
                raise ValueError(f"the import ended with {ended.result()}")
            return answer


async def _reached(running: Running, projection: Projection[Any], head: Position) -> None:
    just_before = Position(head.partition, head.offset - 1)
    while True:
        checkpoint = await running.rows.checkpoints.read(projection.follows)
        if checkpoint is not None and checkpoint.position >= head:
            return
        await running.rows.wait(projection.follows, just_before, timeout_s=5.0)


if __name__ == "__main__":
    serve(Twofold(Arguments.read()))
