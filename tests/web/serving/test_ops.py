"""What is for operators is served beside the app, for as long as the app is."""

import asyncio
import socket

from starlette.types import Receive, Scope, Send

from twofold.web.serving.limits import Limits
from twofold.web.serving.ops import served_beside


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})


async def test_nothing_of_it_is_left_when_the_app_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with served_beside(app, listening, Limits()):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b"\r\nwell\r\n" in await reader.read()
            writer.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
