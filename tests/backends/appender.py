"""A process that appends: `python appender.py URL NAME COUNT`. It prints last position and number of each append."""

import asyncio
import random
import sys

from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.testing.conformance.material import append, event
from twofold.write.group_commit import GroupCommit

WRITERS = 4


async def main(url: str, name: str, count: int) -> None:
    log = await connect(url, Ambient())
    group = GroupCommit(log)
    chance = random.Random(name)

    async def write(writer: int) -> None:
        for n in range(count):
            stream = chance.choice(("note-shared", f"note-{name}-{writer}"))
            events = [event(f"{name}.{writer}.{n}.{k}") for k in range(chance.randint(1, 3))]
            receipt = await group.append(append(stream, *events, command_id=f"{name}.{writer}.{n}"))
            print(receipt.position.offset, receipt.events, flush=True)

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    await group.close()
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
