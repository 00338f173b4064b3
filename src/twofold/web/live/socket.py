"""WebSocket `/live`: many subscriptions on one connection.

A client sends `{"id", "subscribe": projection, "where", "after"}` and `{"id", "unsubscribe": true}`; `id` is a name of
its choice. It gets `{"id", "snapshot" | "changes": {"rows", "parked"}, "token"}` and `{"id", "problem"}`, which ends
that subscription. Browsers cannot send headers here, so the first message may be `{"authorization"}`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from twofold.api import Api
from twofold.errors import TwofoldError
from twofold.read.freshness import DEFAULT_WAIT_S
from twofold.web.identity import check_allowed, check_login
from twofold.web.live.offers import Offers
from twofold.web.live.subscription import Round
from twofold.web.problems import Problem, problem_of

PATH = "/live"
MOST_SUBSCRIPTIONS = 100
POLICY_VIOLATION = 1008

_ENCODE = msgspec.json.Encoder().encode


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends."""

    id: str = ""
    subscribe: str | None = None
    where: dict[str, Any] = {}
    after: str | None = None
    unsubscribe: bool = False
    authorization: str | None = None


_DECODER = msgspec.json.Decoder(Message)


async def live(websocket: WebSocket) -> None:
    """The endpoint."""
    if not is_allowed_origin(websocket):
        await websocket.close(POLICY_VIOLATION, "pages of this origin may not use this: see cors= of the Api")
        return
    await websocket.accept()
    connection = _Connection(websocket)
    try:
        await connection.run()
    except WebSocketDisconnect:
        pass  # the client has left, which ends its subscriptions
    finally:
        await connection.close()


def is_allowed_origin(websocket: WebSocket) -> bool:
    """Whether the page that opens the connection is of this server, or of an origin that CORS names."""
    origin = websocket.headers.get("origin")
    if origin is None:
        return True
    api: Api = websocket.app.state.api
    return origin in api.cors or origin.partition("://")[2] == websocket.headers.get("host")


class _Connection:
    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._request = Request({**websocket.scope, "type": "http", "method": "GET"})
        self._offers: Offers = websocket.app.state.offers
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._begun = False

    async def run(self) -> None:
        """Take messages until the client leaves. Raises: WebSocketDisconnect."""
        while True:
            text = await self._websocket.receive_text()
            try:
                await self._take(_DECODER.decode(text))
            except msgspec.MsgspecError as error:
                await self._say_problem("", Problem(400, "invalid-json", f"This is no message of a client: {error}"))

    async def close(self) -> None:
        """End all subscriptions."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, message: Message) -> None:
        if message.authorization is not None:
            if self._begun:
                detail = "authorization can only be sent in the first message"
                await self._say_problem(message.id, Problem(400, "invalid-request", detail))
                return
            header = (b"authorization", message.authorization.encode("latin-1", "replace"))
            scope = self._request.scope
            self._request = Request({**scope, "headers": [*scope["headers"], header]})
        self._begun = True
        if message.unsubscribe:
            if (task := self._tasks.pop(message.id, None)) is not None:
                task.cancel()
        elif message.subscribe is not None:
            await self._subscribe(message)

    async def _subscribe(self, message: Message) -> None:
        if not message.id or message.id in self._tasks:
            detail = f"id {message.id!r:.80} must be a text that no other subscription of this connection has"
            await self._say_problem(message.id, Problem(400, "invalid-request", detail))
        elif len(self._tasks) >= MOST_SUBSCRIPTIONS:
            detail = f"A connection has at most {MOST_SUBSCRIPTIONS} subscriptions"
            await self._say_problem(message.id, Problem(400, "invalid-request", detail))
        else:
            self._tasks[message.id] = asyncio.create_task(self._follow(message), name=f"live {message.subscribe}")

    async def _follow(self, message: Message) -> None:
        try:
            await self._rounds(message)
            await self._say_problem(message.id, Problem(401, "unauthorized", "The login is no longer valid for this"))
        except (TwofoldError, HTTPException, RequestValidationError) as error:
            await self._say_problem(message.id, problem_of(error, self._request))
        finally:
            self._tasks.pop(message.id, None)

    async def _rounds(self, message: Message) -> None:
        """Raises: as `Running.watch`, Problem, NotFound."""
        subscription = self._offers.subscription(message.subscribe, message.where)
        await check_login(self._request, subscription.allow)
        await check_allowed(self._request, subscription.allow, subscription.arguments)
        rounds = subscription.rounds(self._request, message.after, DEFAULT_WAIT_S)
        async with aclosing(rounds):
            async for each in rounds:
                if each is not None:
                    await self._websocket.send_text(frame(message.id, each))

    async def _say_problem(self, name: str, problem: Problem) -> None:
        await self._websocket.send_text(_ENCODE({"id": name, "problem": problem.content(PATH)}).decode())


def frame(name: str, round: Round) -> str:
    """A message with the rows of a round. Its token, to resume from, comes with the last message of a round only."""
    kind = "snapshot" if round.snapshot else "changes"
    return f'{{"id":{_ENCODE(name).decode()},"{kind}":{round.body.decode()},"token":{_ENCODE(round.token).decode()}}}'
