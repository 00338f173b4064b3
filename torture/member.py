"""What appenders, workers and readers share: how they start, receive strikes, and end.

    python -m torture.member '{"role": "worker", …}'

Strikes come on standard input as JSON, one per line; `null` cancels the last one. When standard input ends, the
parent is gone, and this process ends at once.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Literal, TypeVar

import msgspec

from torture.aim import Aim, Strike, watch
from torture.app import app, corrected_app
from torture.journal import Journal, file_of
from torture.mutations import mutate
from torture.parts import looked
from twofold.app import Running
from twofold.errors import Unavailable
from twofold.feed.feed import PartitionSplit

Role = Literal["appender", "worker", "reader", "mender"]

T = TypeVar("T")

RETRY_S = 0.1


class Orders(msgspec.Struct, frozen=True):
    """The argument a process starts with. `life` counts its starts."""

    role: Role
    name: str
    life: int
    url: str
    journals: str
    seed: str
    mutation: str | None = None


class Member:
    """One such process, as its role sees it."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.name, self.life = orders.name, orders.life
        self.journals = Path(orders.journals)
        self.journal = Journal(file_of(self.journals, orders.name, orders.life))
        self.aim = Aim(self.journal)
        self.chance = Random(f"{orders.seed}|{orders.name}|{orders.life}")  # noqa: S311
        self.ending = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Running]:
        """The App on the store, wrapped with the places to strike; waits for a store that is down."""
        mine = corrected_app if self.orders.role == "mender" else app
        async with AsyncExitStack() as stack:
            running = await self.patiently(lambda: stack.enter_async_context(looked(mine, self.orders.url)))
            await self.patiently(running.prepare)
            watch(running, self.aim, self.journal)
            if self.orders.role == "worker":
                mutate(self.orders.mutation, running, self.aim)
            yield running

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Retry while the store is down."""
        while True:
            try:
                return await work()
            except PartitionSplit:  # another try would only raise it again
                raise
            except Unavailable:
                await asyncio.sleep(RETRY_S)

    async def listen(self) -> None:
        """Take strikes until standard input ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self.aim.take(msgspec.json.decode(line, type=Strike | None))
        os.kill(os.getpid(), signal.SIGKILL)


PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def die_with_the_torturer() -> None:
    """Die with the parent even while stopped, when this process cannot notice that nothing is left to continue it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


async def main(orders: Orders) -> None:
    """Play the role until SIGTERM."""
    member = Member(orders)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, member.ending.set)
    listening = asyncio.create_task(member.listen())
    play = import_module(f"torture.{orders.role}").play
    await play(member)
    listening.cancel()


if __name__ == "__main__":
    die_with_the_torturer()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Orders)))
