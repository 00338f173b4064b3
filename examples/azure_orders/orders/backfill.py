"""`python -m orders.backfill`: fold the whole container again, then replace the old rows by the new ones.

The new rows go into tables beside the old ones, which functions read and write meanwhile; one transaction swaps them.
Whatever stops this program leaves the old rows as they are, and the next run begins again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import aclosing

from orders.opened import Stores, stores
from orders.read_models import app, order_read_models
from twofold import TwofoldError
from twofold.operate import rebuild

SAY_EVERY_S = 2.0


async def backfill(at: Stores) -> int:
    """Rebuild the read models on these stores. Returns the number of orders that they have then.

    Raises: ConfigurationError, InvalidInput if another process is doing it, LogReplaced, Unavailable.
    """
    async with app.open(at.log, read_store=at.read, work=False) as running:
        said = time.monotonic()
        async with aclosing(rebuild(running, order_read_models, from_scratch=True, note=_say)) as positions:
            async for position in positions:
                if time.monotonic() - said > SAY_EVERY_S:
                    said = time.monotonic()
                    _say(f"folded up to {position}")
        return await running.count(order_read_models)


def _say(what: str) -> None:
    print(f"backfill: {what}", file=sys.stderr, flush=True)


def main() -> int:
    """Run it with the settings of the environment; returns the exit status."""
    try:
        count = asyncio.run(backfill(stores(os.environ)))
    except TwofoldError as error:
        _say(str(error))
        return 1
    _say(f"done: the read models have {count} orders")
    return 0


if __name__ == "__main__":
    sys.exit(main())
