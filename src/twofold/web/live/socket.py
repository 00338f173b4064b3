"""WebSocket `/live`: many subscriptions on one connection.

A client sends `{"id", "subscribe": projection, "where", "after"}` and `{"id", "unsubscribe": true}`; `id` is a name of
its choice. It gets `{"id", "snapshot" | "changes": {"rows", "parked"}, "token"}` and `{"id", "problem"}`, which ends
that subscription; the id is empty if a message was refused and nothing ends. Browsers cannot send headers here, so the
first message may have the member `authorization`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from twofold.errors import NotFound
from twofold.read.freshness import DEFAULT_WAIT_S
from twofold.web.identity import refreshed_actor
from twofold.web.live.client import LONGEST_ID, MOST_SUBSCRIPTIONS, Client
from twofold.web.live.offers import Offers
from twofold.web.live.route import LIVE, SocketRoute, decoded, until_it_ends
from twofold.web.live.subscription import Round, Subscription
from twofold.web.live.together import first_of
from twofold.web.problems import Problem, logged_problem

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


class LiveRoute(SocketRoute):
    """The route."""

    def __init__(self) -> None:
        super().__init__(LIVE, _live, name="live")


async def _live(websocket: WebSocket) -> None:
    await websocket.accept()
    await until_it_ends(websocket, _Connection(websocket).talk())


class _Connection:
    def __init__(self, websocket: WebSocket) -> None:
        self._client = Client(websocket)
        self._offers: Offers = websocket.app.state.offers
        self._begun = False

    async def talk(self) -> None:
        """Serve the client until it leaves, or has no subscription for too long. Raises: WebSocketDisconnect."""
        try:
            await first_of(self.run(), self._client.idle())
        finally:
            await self._client.close()

    async def run(self) -> None:
        """Take messages until the client leaves. Raises: WebSocketDisconnect."""
        while True:
            received = await self._client.websocket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1005))
            sent = received.get("text") or received.get("bytes") or b""
            try:
                message = decoded(_DECODER, sent, "This is not a message of a client")
            except Problem as problem:
                await self._say_problem("", problem)
            else:
                await self._take(message)

    async def _take(self, message: Message) -> None:
        refusal = self._refusal(message)
        if refusal is not None:
            name = message.id[:LONGEST_ID]  # a problem with the name of a subscription ends it
            await self._say_problem("" if name in self._client else name, Problem(400, "invalid-request", refusal))
            return
        if message.authorization is not None:
            self._client.authorize(message.authorization)
        self._begun = True
        if message.subscribe is not None:
            self._client.begin(message.id, self._follow(message))
        elif message.unsubscribe:
            await self._client.end(message.id)

    def _refusal(self, message: Message) -> str | None:
        """Why a message cannot be taken."""
        if message.authorization is not None and (self._begun or self._client.is_known):
            return "authorization can only be sent in the first message, and not beside the header Authorization"
        if message.subscribe is not None and message.unsubscribe:
            return "A message either subscribes or unsubscribes"
        if message.subscribe is None:
            return self._not_subscribing(message)
        if not message.id or len(message.id) > LONGEST_ID:
            return f"A subscription needs an id, a text of your choice with at most {LONGEST_ID} characters"
        if message.id in self._client:
            return f"The id {message.id!r} is that of another subscription of this connection: unsubscribe it first"
        if self._client.is_full:
            return f"A connection has at most {MOST_SUBSCRIPTIONS} subscriptions: unsubscribe one first"
        return None

    @staticmethod
    def _not_subscribing(message: Message) -> str | None:
        if message.unsubscribe:
            return None if message.id else "To unsubscribe, give the id of the subscription"
        if message.authorization is None:
            return "A message has subscribe, the name of a projection; or unsubscribe: true; or authorization"
        return None

    async def _follow(self, message: Message) -> None:
        try:
            await self._rounds(message)
        except WebSocketDisconnect:
            return  # `run` notices it, too
        except Exception as error:  # rules and `returns=` are user code: they may raise anything
            self._client.forget(message.id)  # the client may use the id again as soon as it has read this
            await self._say_problem(message.id, logged_problem(error, self._client.request))
        finally:
            self._client.forget(message.id)

    async def _rounds(self, message: Message) -> None:
        """Raises: as `Subscription.follow`; NotFound, RequestValidationError."""
        subscription = await self._allowed(message.subscribe or "", message.where)

        async def tell(round: Round | None) -> None:
            if round is not None:  # the server sends pings
                await self._client.send(frame(message.id, round))

        await subscription.follow(self._client.request, message.after, DEFAULT_WAIT_S, tell, self._client.outlet)

    async def _allowed(self, name: str, where: Mapping[str, Any]) -> Subscription:
        """The first subscription that is open to this client. Raises: as `Subscription.check` and `Offers`."""
        refusal: Problem | NotFound | None = None
        await refreshed_actor(self._client.request)  # the connection may be old
        for each in self._offers.subscriptions(name, where):
            try:
                await each.check(self._client.request)
            except (Problem, NotFound) as refused:
                refusal = refusal or refused
            else:
                return each
        raise refusal or AssertionError("there is at least one subscription")

    async def _say_problem(self, name: str, problem: Problem) -> None:
        await self._client.send(_ENCODE({"id": name, "problem": problem.content(LIVE)}).decode())


def frame(name: str, round: Round) -> str:
    """A message with the rows of a round. Its token, to resume from, comes with the last message of a round only."""
    kind = "snapshot" if round.snapshot else "changes"
    return f'{{"id":{_ENCODE(name).decode()},"{kind}":{round.body.decode()},"token":{_ENCODE(round.token).decode()}}}'
