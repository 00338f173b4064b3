"""Changes items all the time: new texts, new owners, removals."""

from __future__ import annotations

import asyncio
from random import Random

from torture.live.ledger import POISON, Put, Remove, keeping
from twofold.app import Running
from twofold.errors import OutcomeUnknown, Unavailable

RETRY_S = 0.1
REMOVED, MOVED = 0.1, 0.4


class Writer:
    """Writes while it is told to. `running` may be another one after the store was replaced."""

    def __init__(self, users: int, items: int, per_second: float, chance: Random) -> None:
        self.running: Running | None = None
        self.written = self.refused = 0
        self._users, self._items, self._pause_s, self._chance = users, items, 1 / per_second, chance
        self._may_write, self._rests = asyncio.Event(), asyncio.Event()
        self._rests.set()

    async def write(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._may_write.wait()
            self._rests.clear()
            await self.put(f"i{self._chance.randrange(self._items)}", self._command())
            self._rests.set()
            await asyncio.sleep(self._pause_s)

    async def fill(self) -> None:
        """Every item, once."""
        numbers = range(self._items)
        await asyncio.gather(*(self.put(f"i{number}", Put(self._user(), "first")) for number in numbers))

    def go_on(self) -> None:
        """Write."""
        self._may_write.set()

    async def pause(self) -> None:
        """Stop writing, and wait for what has begun."""
        self._may_write.clear()
        await self._rests.wait()

    async def poison(self, keys: int) -> None:
        """Events that the first version of the App cannot fold, with others after them."""
        for number in range(keys):
            await self.put(f"i{number}", Put(self._user(), POISON))
            await self.put(f"i{number}", Put(self._user(), "later"))

    async def put(self, key: str, command: Put | Remove) -> None:
        """Until the store takes it; perhaps twice, which does no harm here."""
        while True:
            assert self.running is not None
            try:
                await self.running.execute(keeping, key, command)
            except (Unavailable, OutcomeUnknown):
                self.refused += 1
                await asyncio.sleep(RETRY_S)
            else:
                self.written += 1
                return

    def _command(self) -> Put | Remove:
        return Remove() if self._chance.random() < REMOVED else Put(self._user(), f"t{self._chance.randrange(10**6)}")

    def _user(self) -> str:
        return f"u{self._chance.randrange(self._users)}"
