"""A WebSocket of events, each with the row that it led to: `{"type", member, "token"}`, in order, none left out.

`?after=` with the token of a message, or of a command, goes on after it; without it, the connection begins now. Where
a login is needed and the handshake has none, the first message of the client brings it: `{"authorization"}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from twofold.api import Allow, anyone
from twofold.app import Running
from twofold.messages import Position
from twofold.read.conditions import query_of
from twofold.read.projection import Projection
from twofold.read.store import Condition
from twofold.web.answers import encoded
from twofold.web.forms import JsonForm
from twofold.web.identity import actor_of, check_allowed, check_login
from twofold.web.live.encoding import Encoding
from twofold.web.live.happened import Happened, Happening
from twofold.web.live.route import SocketRoute, until_it_ends
from twofold.web.live.subscription import Round, Subscription
from twofold.web.live.together import first_of
from twofold.web.problems import Problem, logged_problem

LOGIN_WITHIN_S = 30.0

_ENCODE = msgspec.json.Encoder().encode


class Login(msgspec.Struct, forbid_unknown_fields=True):
    """The first message of a client without a login."""

    authorization: str


_DECODER = msgspec.json.Decoder(Login)


class EventsRoute(SocketRoute):
    """Tells what happens to the streams of one category: `names` are the types that it sends, by class of event.

    Each message has the row of `projection` after the event, as `member`: what `returns` makes of it, in this form.
    `allow` and the Api's `scope=` hold for every message. Raises: ConfigurationError if events do not tell the row.
    """

    def __init__(
        self,
        path: str,
        running: Running,
        projection: Projection[Any],
        names: Mapping[type, str],
        *,
        member: str,
        returns: Callable[[Any], Any],
        form: JsonForm,
        allow: Allow,
    ) -> None:
        super().__init__(path, self._serve, name=f"{member} events")
        self._happening = Happening(running, projection, names, member, lambda row: encoded(returns(row), form))
        self._encoding, self._allow = Encoding(projection, returns, form), allow

    async def _serve(self, websocket: WebSocket) -> None:
        request = Request({**websocket.scope, "type": "http", "method": "GET"})
        try:
            place = await self._place(request)
            if "authorization" in request.headers:
                await check_login(request, self._allow)
        except Exception as error:
            await websocket.send_denial_response(logged_problem(error, request).response(websocket))
            return
        token = self._happening.token(place).encode()
        await websocket.accept(headers=[(b"consistency-token", token)])
        client = _Client(websocket, request, self._allow)
        following = _Following(self._encoding, {}, (), {}, self._allow, _Place(self._happening, place))
        await until_it_ends(websocket, client.talk(following))

    async def _place(self, request: Request) -> Position:
        """Raises: Problem 400, InvalidToken, LogReplaced, Unavailable."""
        sent = request.query_params.multi_items()
        if len(sent) > 1 or any(name != "after" for name, _ in sent):
            raise Problem(400, "invalid-request", "The only parameter here is after, the token to go on from")
        return await self._happening.place(sent[0][1] if sent else None)


class _Place:
    """How far one client has been told."""

    def __init__(self, happening: Happening, place: Position) -> None:
        self._happening, self._place, self._projection = happening, place, happening.projection

    async def rounds(self, scope: Mapping[str, Any]) -> AsyncGenerator[Happened, None]:
        """What happens within this scope. What was not told stays to be told, perhaps within another scope."""
        columns = [column.name for column in self._projection.table.columns]
        conditions = query_of(self._projection, {}, (), 1, scope).conditions
        tests = [(columns.index(one.column), one) for one in conditions]
        while True:
            for each in await self._happening.after(self._place):
                if _is_within(tests, each):
                    yield each
                self._place = each.position


def _is_within(tests: list[tuple[int, Condition]], each: Happened) -> bool:
    values = each.values
    return not tests if values is None else all(condition.holds(values[place]) for place, condition in tests)


@dataclass(frozen=True, slots=True)
class _Following(Subscription):
    """Follows events instead of rows, under the same rules."""

    place: _Place

    def _watch(self, request: Request, scope: Mapping[str, Any], after: str | None, wait_s: float) -> Any:
        return self.place.rounds(scope)

    def _round(self, changes: Any) -> Round:
        return Round(changes.message, changes.token, False)


class _Client:
    """One connection."""

    def __init__(self, websocket: WebSocket, request: Request, allow: Allow) -> None:
        self._websocket, self._request, self._allow = websocket, request, allow

    async def talk(self, following: Subscription) -> None:
        """Tell the client what happens; an error ends it. Raises: WebSocketDisconnect."""
        try:
            await self._take_login()
            await first_of(following.follow(self._request, None, 0, self._tell), self._gone())
        except WebSocketDisconnect:
            raise
        except Exception as error:  # rules are user code: they may raise anything
            problem = logged_problem(error, self._request).content(self._request.scope["path"])
            await self._websocket.send_text(_ENCODE({"problem": problem}).decode())

    async def _take_login(self) -> None:
        """Raises: Problem 400, 401 or 403, WebSocketDisconnect."""
        if self._allow is not anyone and await actor_of(self._request) is None:
            try:
                async with asyncio.timeout(LOGIN_WITHIN_S):
                    login = _DECODER.decode(await self._receive())
            except msgspec.MsgspecError as error:
                raise Problem(400, "invalid-json", f"The first message has to bring the login: {error}") from None
            except TimeoutError:
                login = None  # which is checked below
            if login is not None:
                header = (b"authorization", login.authorization.encode("latin-1", "replace"))
                scope = {name: each for name, each in self._request.scope.items() if name != "state"}
                self._request = Request({**scope, "headers": [*scope["headers"], header]})
        await check_login(self._request, self._allow)
        await check_allowed(self._request, self._allow, {})

    async def _tell(self, round: Round | None) -> None:
        if round is not None:  # the server sends pings
            await self._websocket.send_text(round.body.decode())

    async def _gone(self) -> None:
        """Raises: WebSocketDisconnect."""
        while True:
            await self._receive()

    async def _receive(self) -> str:
        """Raises: WebSocketDisconnect."""
        received = await self._websocket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text: str | bytes = received.get("text") or received.get("bytes") or ""
        return text if isinstance(text, str) else text.decode("utf-8", "replace")
