"""The log of the cuts beside the feed of Cosmos DB: waiting for a cut costs no more requests than it must."""

import asyncio
from typing import Any, cast

from twofold.backends.cosmos.client import Container
from twofold.backends.cosmos.cut_log import CutLog
from twofold.backends.cosmos.layout import Document
from twofold.feed.checkpoints import Checkpoints
from twofold.messages import Position, Stream
from twofold.testing import virtual_time

WAIT_S = 5.0


class Stored:
    """A container with the newest cut of each log id. Counts the requests."""

    def __init__(self, **newest: int) -> None:
        self.newest, self.requests = newest, 0

    async def read(self, id: str, key: str) -> Document | None:
        self.requests += 1
        number = self.newest.get(Stream.parse(key).id)
        return None if number is None else {"number": number, "vector": [number]}


def test_a_wait_for_a_cut_ends_with_it_or_with_the_time() -> None:
    """Also after a new id, under which there is no cut yet, although many had been made before."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        container, name = Stored(before=50), ["before"]
        log = CutLog(cast(Container, container), lambda: name[0], cast(Checkpoints, None))
        began = clock()
        await log.wait(Position(0, 49), WAIT_S)
        assert clock() - began < 0.01, "it is there"
        for log_id in ("before", "after"):
            name[0] = log_id
            at = Position(0, container.newest.get(log_id, 0))
            began, before = clock(), container.requests
            await log.wait(at, WAIT_S)
            assert clock() - began >= WAIT_S
            assert 1 < container.requests - before <= WAIT_S / 0.25 + 1
            waiting: asyncio.Task[Any] = asyncio.create_task(log.wait(at, WAIT_S))
            await asyncio.sleep(1)
            assert not waiting.done()
            container.newest[log_id] = at.offset + 1
            await asyncio.sleep(0.5)
            assert waiting.done()

    virtual_time.run(main())


def test_a_replica_that_is_behind_takes_no_cut_back() -> None:
    """Who waits for what a later cut holds is not held up by a look that has found an older one since."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        container = Stored(log=7)
        log = CutLog(cast(Container, container), lambda: "log", cast(Checkpoints, None))
        assert (await log.load(Stream("cut", "log"))).version == 7
        container.newest["log"] = 6
        assert (await log.load(Stream("cut", "log"))).version == 6
        began = clock()
        await log.wait(Position(0, 6), WAIT_S)
        assert clock() == began

    virtual_time.run(main())
