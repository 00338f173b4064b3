"""A process that copies: `python copier.py FROM TO`. It prints a line after each page."""

import asyncio
import sys
from contextlib import AsyncExitStack

from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.operate import copy
from twofold.operate.copy import copying

copy.EVENTS_AT_ONCE = 20
copy.COMMANDS_AT_ONCE = 30


def say(*facts: object) -> None:
    sys.stdout.write(" ".join(map(str, facts)) + "\n")
    sys.stdout.flush()


async def main(source: str, target: str) -> None:
    async with AsyncExitStack() as stack:
        logs = []
        for url in (source, target):
            logs.append(await connect(url, Ambient()))
            stack.push_async_callback(logs[-1].close)
        await (await copying(*logs)).run(say)
    say("done")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
