"""WebSocket `/graphql`: the protocol graphql-transport-ws, with the limits of live rows.

Browsers cannot send headers here, so the payload of `connection_init` may have the member `authorization`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from graphql import GraphQLError
from graphql.execution.values import get_argument_values
from starlette.websockets import WebSocket, WebSocketDisconnect

from twofold.graphql.documents import Operation, Refused
from twofold.graphql.plan import keep
from twofold.graphql.schema import AFTER
from twofold.graphql.selection import switches_of
from twofold.read.freshness import DEFAULT_WAIT_S
from twofold.web.consistency import Freshness
from twofold.web.graphql.context import Context
from twofold.web.graphql.endpoint import PATH, Sent
from twofold.web.graphql.errors import error_of, of_request
from twofold.web.graphql.execution import Execution
from twofold.web.graphql.live import Changes, Held, Live, subscription_of
from twofold.web.graphql.negotiated import body_of
from twofold.web.identity import refreshed_actor
from twofold.web.live.client import LONGEST_ID, MOST_SUBSCRIPTIONS, Client
from twofold.web.live.route import SocketRoute, until_it_ends
from twofold.web.live.subscription import Round
from twofold.web.live.together import first_of
from twofold.web.problems import Problem

PROTOCOL = "graphql-transport-ws"
INIT_S = 10.0
_FRESH = Freshness(None, DEFAULT_WAIT_S, {})
_ENCODE = msgspec.json.Encoder().encode


class Message(msgspec.Struct):
    """What a client sends."""

    type: str
    id: str | None = None
    payload: Any = None


_DECODER = msgspec.json.Decoder(Message)


class _Wrong(Exception):
    """The client has not kept to the protocol: the code and the reason of the close."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class GraphqlSocket(SocketRoute):
    """The route."""

    def __init__(self, execution: Execution) -> None:
        async def serve(websocket: WebSocket) -> None:
            if PROTOCOL not in websocket.scope.get("subprotocols", ()):
                await websocket.accept()
                await websocket.close(4406, f"The subprotocol is {PROTOCOL}")
                return
            await websocket.accept(PROTOCOL)
            await until_it_ends(websocket, _Connection(websocket, execution).talk())

        super().__init__(PATH, serve, name="graphql_socket")


class _Connection:
    def __init__(self, websocket: WebSocket, execution: Execution) -> None:
        self._client, self._execution = Client(websocket), execution
        self._ready = asyncio.Event()

    async def talk(self) -> None:
        """Serve the client until it leaves, breaks the protocol, or runs nothing for too long.

        Raises: WebSocketDisconnect.
        """
        wrong: _Wrong | None = None
        try:
            await first_of(self.run(), self.waits_for_init(), self._client.idle())
        except _Wrong as error:
            wrong = error
        finally:
            await self._client.close()
        if wrong is not None:
            await self._client.websocket.close(wrong.code, wrong.reason)
            raise WebSocketDisconnect(wrong.code)

    async def run(self) -> None:
        """Take messages until the client leaves. Raises: WebSocketDisconnect, _Wrong."""
        while True:
            received = await self._client.websocket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            try:
                message = _DECODER.decode(received.get("text") or received.get("bytes") or b"")
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise _Wrong(4400, "Invalid message") from None
            await self._take(message)

    async def waits_for_init(self) -> None:
        """Raises: _Wrong if the client does not begin."""
        try:
            async with asyncio.timeout(INIT_S):
                await self._ready.wait()
        except TimeoutError:
            raise _Wrong(4408, "Connection initialisation timeout") from None
        await asyncio.Event().wait()

    # ---- messages

    async def _take(self, message: Message) -> None:
        match message.type:
            case "connection_init":
                await self._begin(message.payload)
            case "ping":
                await self._send(b'{"type":"pong"}')
            case "pong":
                pass
            case "subscribe":
                await self._start(message)
            case "complete" if message.id is not None:
                await self._client.end(message.id)
            case _:
                raise _Wrong(4400, "Invalid message")

    async def _begin(self, payload: Any) -> None:
        if self._ready.is_set():
            raise _Wrong(4429, "Too many initialisation requests")
        given = payload if isinstance(payload, Mapping) else {}
        name = next((name for name in given if name.lower() == "authorization"), None)
        if name is not None and isinstance(given[name], str):
            if self._client.is_known:
                raise _Wrong(4400, "authorization is in the header already")
            self._client.authorize(given[name])
        self._ready.set()
        await self._send(b'{"type":"connection_ack"}')

    async def _start(self, message: Message) -> None:
        if not self._ready.is_set():
            raise _Wrong(4401, "Unauthorized")
        name = message.id
        if not name or len(name) > LONGEST_ID:
            raise _Wrong(4400, f"An operation needs an id of at most {LONGEST_ID} characters")
        if name in self._client:
            raise _Wrong(4409, f"Subscriber for {name} already exists"[:120])
        try:
            sent = msgspec.convert(message.payload, Sent)
        except msgspec.ValidationError:
            raise _Wrong(4400, "Invalid message") from None
        if self._client.is_full:
            detail = f"{MOST_SUBSCRIPTIONS} operations run on this connection: complete one first"
            await self._fail(name, [error_of(Problem(503, "overloaded", detail), self._client.request)])
            return
        self._client.begin(name, self._operate(name, sent))

    async def _operate(self, id: str, sent: Sent) -> None:
        try:
            await self._run(id, sent)
        except WebSocketDisconnect:
            return  # `run` notices it, too
        except Refused as refused:
            self._client.forget(id)
            await self._fail(id, of_request(refused.errors))
        except Exception as error:  # rules are user code: they may raise anything
            self._client.forget(id)  # the client may use the id again as soon as it has read this
            await self._fail(id, [error_of(error, self._client.request)])
        else:
            self._client.forget(id)
            await self._send(b'{"id":%b,"type":"complete"}' % _ENCODE(id))
        finally:
            self._client.forget(id)

    async def _run(self, id: str, sent: Sent) -> None:
        """Raises: Refused, and whatever the operation raises before it begins."""
        execution, given = self._execution, sent.variables or {}
        operation = execution.documents.operation(sent.query, sent.operationName)
        variables = operation.variables(given)
        await refreshed_actor(self._client.request)  # the connection may be old
        context = Context(self._client.request, _FRESH, None, ())
        if operation.kind != "subscription":
            found = await execution.run(operation, variables, given, context)
            extensions = {"parked": context.parked} if context.parked else None
            await self._next(id, body_of(found.data, found.errors, extensions))
            return
        await self._follow(id, operation, variables, given, context)

    async def _follow(
        self, id: str, operation: Operation, variables: Any, given: dict[str, Any], context: Context
    ) -> None:
        live = self._live(operation, variables)
        arguments = get_argument_values(live.field, live.nodes[0], variables)
        held = Held(live.made.read.projection)
        watched = await subscription_of(live.made, context, arguments, live.shared or held)
        await watched.check(self._client.request)
        start = b'{"id":%b,"type":"next","payload":' % _ENCODE(id)

        async def tell(round: Round | None) -> None:
            if round is None:  # the server sends pings
                return
            if live.shared is not None:
                await self._send(start + b'{"data":' + round.body + b"}}")
            elif held.latest is not None:
                here = Context(self._client.request, _FRESH, None, ())
                found = await self._execution.event(operation, given, here, Changes(held.latest))
                await self._send(start + body_of(found.data, found.errors, None) + b"}")

        await watched.follow(self._client.request, arguments.get(AFTER), DEFAULT_WAIT_S, tell, self._client.outlet)

    def _live(self, operation: Operation, variables: Any) -> Live:
        """What is shared by all who select the same. Raises: Refused."""
        values = {} if variables is None else variables.coerced
        switches = {name: values.get(name) for name in switches_of(operation.document)}
        key = ("live", *switches.values())
        found: Live | None = operation.plans.get(key)
        if found is None:
            try:
                found = Live(operation, self._execution.schema, switches)
            except GraphQLError as error:
                raise Refused([error]) from None
            keep(operation, key, found)
        return found

    # ---- to the client

    async def _next(self, id: str, payload: bytes) -> None:
        await self._send(b'{"id":%b,"type":"next","payload":%b}' % (_ENCODE(id), payload))

    async def _fail(self, id: str, errors: Any) -> None:
        await self._send(b'{"id":%b,"type":"error","payload":%b}' % (_ENCODE(id), _ENCODE(errors)))

    async def _send(self, text: bytes) -> None:
        await self._client.send(text.decode())
