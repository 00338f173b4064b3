"""A process that works on the bank until it is killed: `python cosmos_worker.py STORE READ_STORE`."""

import asyncio
import sys

from twofold.testing.conformance.bank import bank


async def main(store: str, read_store: str) -> None:
    async with bank.open(store, read_store=read_store):
        print("working", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
