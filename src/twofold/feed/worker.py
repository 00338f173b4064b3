"""A follower's task in this process: restarted whenever it ends, unless the follower itself stopped."""

from __future__ import annotations

import asyncio

from twofold.feed.follow import Following


class Worker:
    """Keeps one follower running until `stop`.

    `Following.run` retries after errors and returns when it has stopped for good. Anything else that ends its task (a
    fold that cancels the task it runs in, code that cancels all tasks) is a failure: it shows in the follower's state
    and counts, is logged, and the task is restarted after a pause.
    """

    def __init__(self, following: Following) -> None:
        self.following = following
        self._stopping = False
        self._next: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        name = f"twofold {self.following.follower_id}"
        self._task = asyncio.create_task(self.following.run(), name=name)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError("its task was cancelled") if task.cancelled() else task.exception()
        if error is not None and not self._stopping:
            pause_s = self.following.failed(error)
            self._next = asyncio.get_running_loop().call_later(pause_s, self._begin)

    async def stop(self) -> None:
        """Release the checkpoint, and end."""
        self._stopping = True
        if self._next is not None:
            self._next.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
