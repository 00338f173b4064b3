"""An import next to a server: `python -m bench.sides.importer URL EVENTS`; each event starts a new stream."""

import asyncio
import sys
from functools import partial

from bench.orders import app, event, order_rows
from bench.workload import order_id
from twofold.messages import Stream

FIRST = 10_000_000  # above the order numbers of every other scenario


async def run(url: str, events: int) -> None:
    """Import as the how-to describes: without working, in bulk."""
    async with app(order_rows).open(url, work=False) as running:
        calls = (
            partial(running.append, Stream("order", order_id(number)), [event(number)], command_id=f"import-{number}")
            for number in range(FIRST, FIRST + events)
        )
        await running.bulk(calls)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
