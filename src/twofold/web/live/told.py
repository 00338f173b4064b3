"""A WebSocket of events, each with the row that it led to: `{"type", member, "token"}`, in order, none left out.

`?after=` with the token of a message, or of a command, goes on after it; without it, the connection begins now. Where
a login is needed and the handshake has none, the first message of the client brings it: `{"authorization"}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
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
from twofold.read.room import Room
from twofold.read.store import Condition
from twofold.web.answers import encoded
from twofold.web.forms import JsonForm
from twofold.web.identity import actor_of, check_allowed, check_login, scope_of, unauthorized
from twofold.web.live.encoding import Encoding
from twofold.web.live.happened import Happened, Happening
from twofold.web.live.route import SocketRoute, decoded, until_it_ends
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
        self.types, self.member, self.returns, self.form = tuple(dict.fromkeys(names.values())), member, returns, form
        self._happening = Happening(running, projection, names, member, lambda row: encoded(returns(row), form))
        self._encoding, self._allow = Encoding(projection, returns, form), allow

    async def _serve(self, websocket: WebSocket) -> None:
        request = Request({**websocket.scope, "type": "http", "method": "GET"})
        following = None
        try:
            if self._allow is anyone or "authorization" in request.headers or await actor_of(request) is not None:
                following = await self._begin(request)
        except Exception as error:  # rules are user code: they may raise anything
            await websocket.send_denial_response(logged_problem(error, request).response(websocket))
            return
        token = [] if following is None else [(b"consistency-token", following.place.token.encode())]
        await websocket.accept(headers=token)
        await until_it_ends(websocket, self._talk(websocket, request, following))

    async def _begin(self, request: Request) -> _Following:
        """Raises: Problem 400, 401 or 403, InvalidToken, LogReplaced, Unavailable, and what rules raise."""
        await check_login(request, self._allow)
        await check_allowed(request, self._allow, {})
        sent = request.query_params.multi_items()
        if len(sent) > 1 or any(name != "after" for name, _ in sent):
            raise Problem(400, "invalid-request", "The only parameter here is after, the token to resume from")
        place = await self._happening.place(sent[0][1] if sent else None)
        return _Following(self._encoding, {}, (), {}, self._allow, _Place(self._happening, place))

    async def _talk(self, websocket: WebSocket, request: Request, following: _Following | None) -> None:
        """Tell the client what happens; an error ends it. Raises: WebSocketDisconnect."""

        async def tell(round: Round | None) -> None:
            if round is not None:  # the server sends pings
                await websocket.send_text(round.body.decode())

        try:
            if following is None:
                request = await _with_login(websocket, request)
                following = await self._begin(request)
            await first_of(following.follow(request, None, 0, tell), _gone(websocket))
        except WebSocketDisconnect:
            raise
        except Exception as error:  # rules are user code: they may raise anything
            problem = logged_problem(error, request).content(request.scope["path"])
            await websocket.send_text(_ENCODE({"problem": problem}).decode())


class _Place:
    """How far one client has come."""

    def __init__(self, happening: Happening, place: Position) -> None:
        self._happening, self._place, self._projection = happening, place, happening.projection

    @property
    def token(self) -> str:
        """Resumes here."""
        return self._happening.token(self._place)

    async def rounds(self, request: Request) -> AsyncGenerator[Happened, None]:
        """What happens within the scope of the actor, which is asked for again whenever something has happened."""
        columns = [column.name for column in self._projection.table.columns]
        while True:
            happened = await self._happening.after(self._place)
            scope = await scope_of(request, self._projection)
            conditions = query_of(self._projection, {}, (), 1, scope).conditions
            tests = [(columns.index(one.column), one) for one in conditions]
            for each in happened:
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

    def _watch(self, request: Request, scope: Mapping[str, Any], after: str | None, wait_s: float, room: Room) -> Any:
        return self.place.rounds(request)

    def _rounds(self, changes: Any) -> Iterator[Round]:
        yield Round(changes.message, changes.token, False)


async def _with_login(websocket: WebSocket, request: Request) -> Request:
    """The request, with the login of the client's first message. Raises: Problem 400 or 401, WebSocketDisconnect."""
    try:
        async with asyncio.timeout(LOGIN_WITHIN_S):
            login = decoded(_DECODER, await _received(websocket), "The first message has to bring the login")
    except TimeoutError:
        raise unauthorized(request) from None
    header = (b"authorization", login.authorization.encode("latin-1", "replace"))
    scope = {name: each for name, each in request.scope.items() if name != "state"}  # which knows of no actor
    return Request({**scope, "headers": [*scope["headers"], header]})


async def _gone(websocket: WebSocket) -> None:
    """Raises: WebSocketDisconnect."""
    while True:
        await _received(websocket)


async def _received(websocket: WebSocket) -> str | bytes:
    """What a client has sent. Raises: WebSocketDisconnect."""
    received = await websocket.receive()
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1005))
    sent: str | bytes = received.get("text") or received.get("bytes") or b""
    return sent
