"""What runs for a client at the other end of a WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.websockets import WebSocket

from twofold.web.live.client import MOST_SUBSCRIPTIONS, Client


async def test_what_a_client_does_not_read_is_bounded_and_ends_with_it() -> None:
    """Each has failed, so its name is free again, but the client does not take the problem."""
    stuck = asyncio.Event()

    async def send(_: Any) -> None:
        await stuck.wait()

    async def receive() -> Any:
        await stuck.wait()

    async def fail(name: str) -> None:
        client.forget(name)
        await send(name)

    client = Client(WebSocket({"type": "websocket", "headers": []}, receive, send))
    before, begun = asyncio.all_tasks(), 0
    while not client.is_full and begun < 3 * MOST_SUBSCRIPTIONS:
        client.begin("again", fail("again"))
        begun += 1
        await asyncio.sleep(0)
    assert begun == 2 * MOST_SUBSCRIPTIONS
    await client.close()
    assert asyncio.all_tasks() == before
    assert not client.is_full
