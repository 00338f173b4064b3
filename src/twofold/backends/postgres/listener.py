"""The doorbell: one connection per process and database that listens for news of the log and the rows.

Notifications wake waiting reads; they are hints, and nothing depends on them. LISTEN does not work behind a pooler in
transaction mode: there, waiting reads poll more often.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import asyncpg

from twofold.backends.postgres.connection import COMMAND_TIMEOUT_S, CONNECT_TIMEOUT_S, LOST, Address
from twofold.feed.checkpoints import FollowerId
from twofold.feed.doorbell import Doorbell, Reached
from twofold.messages import Position

LISTENING_POLL_S = 0.5
DEAF_POLL_S = 0.05
CHECK_EVERY_S = 15.0
LONGEST_PAUSE_S = 5.0

log = logging.getLogger("twofold.postgres")


class Listener:
    """`head` and `reached` are what was heard last. They are never ahead of what a later read can see.

    All stores of an event loop on the same database share one: `Listener.join`, then `leave`.
    """

    _shared: ClassVar[dict[tuple[asyncio.AbstractEventLoop, str], Listener]] = {}

    def __init__(self, address: Address) -> None:
        self.address = address
        self.appends, self.rows = Doorbell(), Doorbell()
        self.head = 0
        self.reached = Reached()
        self._members = 0
        self._listening = False
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def join(cls, address: Address) -> Listener:
        """The listener of this database. It ends when every member has left."""
        listener = cls._shared.setdefault((asyncio.get_running_loop(), address.url), Listener(address))
        listener._members += 1
        return listener

    async def leave(self) -> None:
        """Leave. The last member to leave ends the listener."""
        self._members -= 1
        if self._members > 0:
            return
        self._shared.pop((asyncio.get_running_loop(), self.address.url), None)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self, bell: Doorbell, timeout_s: float) -> None:
        """Return when the bell rings, when it is time to poll, or after `timeout_s`."""
        if self._task is None and not self.address.pooler:
            self._task = asyncio.create_task(self._listen(), name=f"twofold listens to {self.address}")
        await bell.wait(min(timeout_s, LISTENING_POLL_S if self._listening else DEAF_POLL_S))

    def heard_head(self, head: int) -> None:
        """The log has reached this head."""
        self.head = max(self.head, head)
        self.appends.ring()

    def heard_rows(self, follower: FollowerId, position: Position) -> None:
        """A projection has reached this position."""
        self.reached.heard(follower, position)
        self.rows.ring()

    async def _listen(self) -> None:
        pause_s = 0.05
        while True:
            try:
                connection = await asyncpg.connect(
                    self.address.url,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=COMMAND_TIMEOUT_S,
                    server_settings={"application_name": "twofold listens"},
                )
                try:
                    await connection.add_listener("twofold_log", self._on_append)
                    await connection.add_listener("twofold_rows", self._on_rows)
                    pause_s = 0.05
                    await self._while_it_lives(connection)
                finally:
                    self._listening = False
                    connection.terminate()
            except (*LOST, asyncpg.PostgresError) as error:
                log.warning("not listening, so polling every %g s: %s", DEAF_POLL_S, self.address.describe(error))
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _while_it_lives(self, connection: asyncpg.Connection[Any]) -> None:
        """Rings once at the start, for what happened while no connection listened."""
        gone = asyncio.Event()
        connection.add_termination_listener(lambda _: gone.set())
        self._forget()
        self._listening = True
        while not gone.is_set():
            try:
                async with asyncio.timeout(CHECK_EVERY_S):
                    await gone.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=CONNECT_TIMEOUT_S)

    def _forget(self) -> None:
        """The database may have been replaced by an older one since, so what was heard no longer counts."""
        self.head = 0
        self.reached.forget()
        self.appends.ring()
        self.rows.ring()

    def _on_append(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        if str(payload).isdigit():
            self.heard_head(int(str(payload)))

    def _on_rows(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        match str(payload).split():
            case [name, *numbers] if len(numbers) in (2, 3) and all(number.isdigit() for number in numbers):
                version, offset, partition = (*map(int, numbers), 0)[:3]  # partition 0 is omitted, as by older versions
                self.heard_rows(FollowerId(name, version, partition), Position(partition, offset))
            case _:
                self.rows.ring()  # not ours, or from a newer twofold: reading again is harmless
