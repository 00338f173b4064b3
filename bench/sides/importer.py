"""An import beside a server: `python -m bench.sides.importer URL EVENTS`, each an append to a new stream."""

import asyncio
import sys
from functools import partial

from bench.orders import app, event, order_rows
from bench.workload import order_id
from twofold.messages import Stream

FIRST = 10_000_000  # no order of another scenario has such a number


async def run(url: str, events: int) -> None:
    """Import them as the how-to says: without working, in bulk."""
    async with app(order_rows).open(url, work=False) as running:
        calls = (
            partial(running.append, Stream("order", order_id(number)), [event(number)], command_id=f"import-{number}")
            for number in range(FIRST, FIRST + events)
        )
        await running.bulk(calls)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
