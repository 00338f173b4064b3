"""Changes to a file by other processes, found by polling SQLite's change counter on a separate thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from twofold.backends.sqlite.thread import Thread
from twofold.feed.doorbell import Doorbell

SHORTEST_PAUSE_S = 0.015
LONGEST_PAUSE_S = 0.05
SLOWER = 1.1  # factor for each poll without a change: after half a second without any, it polls at the slowest rate

log = logging.getLogger("twofold.sqlite")


class Watch:
    """Rings the bell for changes while a caller waits. The more changes, the more often it polls."""

    def __init__(self, path: Path, bell: Doorbell, connect: Callable[[], apsw.Connection]) -> None:
        self._path, self._bell, self._connect = path, bell, connect
        self._thread = Thread(f"twofold watches {path.name}")
        self._watching: asyncio.Future[None] | None = None
        self._waiting = 0
        self._wanted = threading.Event()  # a caller waits, or the watch ends
        self._over = threading.Event()

    async def wait(self, timeout_s: float) -> None:
        """Return when the bell rings, or after `timeout_s`."""
        if not self._over.is_set() and (self._watching is None or self._watching.done()):
            loop = asyncio.get_running_loop()
            self._watching = asyncio.ensure_future(self._thread.run(lambda: self._watch(loop)))
        self._waiting += 1
        self._wanted.set()
        try:
            await self._bell.wait(timeout_s)
        finally:
            self._waiting -= 1
            if self._waiting == 0 and not self._over.is_set():
                self._wanted.clear()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        seen, pause_s = None, SHORTEST_PAUSE_S  # rings at the first poll: the state before is unknown
        try:
            with closing(self._connect()) as db:
                while self._wanted.wait() and not self._over.wait(pause_s):
                    now = db.execute("PRAGMA data_version").fetchone()
                    if now == seen:
                        pause_s = min(LONGEST_PAUSE_S, pause_s * SLOWER)
                    else:
                        loop.call_soon_threadsafe(self._bell.ring)
                        seen, pause_s = now, SHORTEST_PAUSE_S
        except apsw.Error as error:
            log.warning("%s: changes by other processes are not seen at once: %s", self._path, error)

    async def close(self) -> None:
        """End the thread, also if it is cancelled."""
        self._over.set()
        self._wanted.set()
        try:
            if self._watching is not None:
                await asyncio.shield(self._watching)
        finally:
            self._thread.end(wait=self._watching is None or self._watching.done())
