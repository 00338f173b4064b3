"""A process that works on the bank until it is killed: `python cosmos_worker.py STORE READ_STORE`."""

import asyncio
import sys

from twofold.errors import Unavailable
from twofold.testing.conformance.bank import bank

AGAIN_S = 0.2


async def main(store: str, read_store: str) -> None:
    """Start again like under a supervisor: the server may be down while this opens the App."""
    while True:
        try:
            async with bank.open(store, read_store=read_store):
                print("working", flush=True)
                await asyncio.Event().wait()
        except Unavailable as error:
            print(error, file=sys.stderr, flush=True)
            await asyncio.sleep(AGAIN_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
