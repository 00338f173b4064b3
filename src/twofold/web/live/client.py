"""The client at the other end of a WebSocket: who it is, and what runs for it, each under a name that it has chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from starlette.requests import Request
from starlette.websockets import WebSocket

from twofold.web.live.subscription import Outlet

MOST_SUBSCRIPTIONS = 100
LONGEST_ID = 200
IDLE_S = 30.0


class Client:
    """`request` is its handshake as a request, for rules and logins."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket, self.outlet = websocket, Outlet()
        self.request = Request({**websocket.scope, "type": "http", "method": "GET"})
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()  # also what has ended and is telling the client so
        self._idle_since = asyncio.get_running_loop().time()

    @property
    def is_known(self) -> bool:
        """Whether it has said who it is."""
        return "authorization" in self.request.headers

    def authorize(self, authorization: str) -> None:
        """Browsers cannot send this header with a handshake, so it comes in a message."""
        header = (b"authorization", authorization.encode("latin-1", "replace"))
        self.request = Request({**self.request.scope, "headers": [*self.request.scope["headers"], header]})

    def __contains__(self, name: str) -> bool:
        return name in self._tasks

    @property
    def is_full(self) -> bool:
        """Whether nothing more may run. What has ended counts until the client has read that it ended."""
        return len(self._tasks) >= MOST_SUBSCRIPTIONS or len(self._running) >= 2 * MOST_SUBSCRIPTIONS

    def begin(self, name: str, work: Coroutine[None, None, None]) -> None:
        """Run this until it ends. It says so with `forget`."""
        task = self._tasks[name] = asyncio.create_task(work, name=f"for a client: {name:.80}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def forget(self, name: str) -> None:
        """What runs now has ended: the client may use its name again."""
        if self._tasks.get(name) is asyncio.current_task():
            del self._tasks[name]
            self._idle_since = asyncio.get_running_loop().time()

    async def end(self, name: str) -> None:
        """End it, if it runs."""
        task = self._tasks.pop(name, None)
        if task is not None:
            self._idle_since = asyncio.get_running_loop().time()
            task.cancel()
            await asyncio.wait([task])

    async def idle(self) -> None:
        """Return once nothing has run for some time: anyone could keep the place of a watcher."""
        loop = asyncio.get_running_loop()
        while True:
            left_s = IDLE_S if self._tasks else self._idle_since + IDLE_S - loop.time()
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    async def close(self) -> None:
        """End all that runs."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, text: str) -> None:
        """Send a message. Raises: WebSocketDisconnect."""
        await self.websocket.send_text(text)
