"""What other processes do to a file: seen by looking at SQLite's change counter, on a thread of its own."""

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
SLOWER = 1.1  # each time that nothing has changed: half a second of silence, and it looks at its slowest

log = logging.getLogger("twofold.sqlite")


class Watch:
    """Rings the bell for changes while somebody waits: the more often it looks, the more happens."""

    def __init__(self, path: Path, bell: Doorbell, connect: Callable[[], apsw.Connection]) -> None:
        self._path, self._bell, self._connect = path, bell, connect
        self._thread = Thread(f"twofold watches {path.name}")
        self._watching: asyncio.Future[None] | None = None
        self._waiting = 0
        self._wanted = threading.Event()  # somebody waits, or it is over
        self._over = threading.Event()

    async def wait(self, timeout_s: float) -> None:
        """Until the bell rings, or the time is over."""
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
        seen, pause_s = None, SHORTEST_PAUSE_S  # rings at the first look: nobody knows what was before
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
        """Ends the thread."""
        self._over.set()
        self._wanted.set()
        if self._watching is not None:
            await self._watching
        self._thread.end()
