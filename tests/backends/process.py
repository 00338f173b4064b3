"""What the tests of several processes start: `python process.py ROLE URL …`. Each line it prints is a fact."""

import asyncio
import sys

from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.messages import BEGINNING
from twofold.testing.conformance.bank import Deposit, accounts, bank


def say(*facts: object) -> None:
    """One line, at once."""
    sys.stdout.write(" ".join(map(str, facts)) + "\n")  # in one piece, or a kill could leave half a line
    sys.stdout.flush()


async def write(url: str, name: str, first: str, count: str) -> None:
    """Deposits with command ids `name-n`, eight at a time; prints each that is acknowledged."""
    async with bank.open(url, work=False) as running:
        numbers = iter(range(int(first), int(first) + int(count)))

        async def one_after_the_other() -> None:
            for n in numbers:
                account = f"{name}{n % 3}" if n % 2 else "shared"
                done = await running.execute(accounts, account, Deposit(n + 1_000), command_id=f"{name}-{n}")
                say(n, account, done.receipt.version, done.receipt.position.offset)

        await asyncio.gather(*(one_after_the_other() for _ in range(8)))


async def tail(url: str, until: str) -> None:
    """Prints every position it sees, going on from its own last one; only the doorbell wakes it."""
    log = await connect(url, Ambient())
    position = BEGINNING
    say("ready")
    while position.offset < int(until):
        page = await log.read(position, 50)
        for entry in page.entries:
            say(entry.position.offset, entry.stream, entry.version)
        if page.upto == position:
            await log.wait(position, timeout_s=3_600)
        position = page.upto
    await log.close()


async def work(url: str) -> None:
    """Folds and reacts until it is killed; prints which read models it holds, and what it did not before."""
    async with bank.open(url) as running:
        held: set[str] = set()
        while True:
            for following in running.followers:
                name = following.follower_id.name
                if following.state == "following" and name not in held:
                    held.add(name)
                    say("holds", name)
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    roles = {"write": write, "tail": tail, "work": work}
    asyncio.run(roles[sys.argv[1]](*sys.argv[2:]))
