"""The ASGI app: requests become invocations, and what a function returns becomes the response."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http import cookies
from typing import Any
from urllib.parse import parse_qsl, unquote

from devservers.functions.channel import Outcome
from devservers.functions.errors import FunctionFailed, NotRun, WorkerEnded
from devservers.functions.functions import HTTP_OUTPUT, RETURNED, Function
from devservers.functions.invoking import Call, Invoker
from devservers.functions.routes import Route, parsed

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

LONGEST_BODY_BYTES = 100 * 1024 * 1024
LONGEST_LOGGED = 200  # characters of a path
KEY_HEADER, KEY_PARAMETER = "x-functions-key", "code"
ANONYMOUS, ADMIN = "anonymous", "admin"


@dataclass(frozen=True, slots=True)
class Keys:
    """What a request must show for the levels FUNCTION and ADMIN; the master key opens both."""

    function: str
    master: str

    def allow(self, level: str, shown: str) -> bool:
        """Whether this key is enough."""
        enough = [self.master] if level == ADMIN else [self.master, self.function]
        return level == ANONYMOUS or any(hmac.compare_digest(shown.encode(), key.encode()) for key in enough)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A function with its route. Without methods it takes every one."""

    function: Function
    route: Route
    methods: frozenset[str]
    level: str
    shown: str


@dataclass(frozen=True, slots=True)
class Response:
    """A response; several headers may have one name."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def endpoint(function: Function, prefix: str) -> Endpoint:
    """Where a function is reached. Raises: NotRun for a route that cannot be understood."""
    values = function.trigger.values
    template = values.get("route") or function.name
    whole = "/".join(part for part in (prefix, template.strip("/")) if part)
    methods = frozenset(method.upper() for method in values.get("methods") or ())
    if template.strip("/").lower().split("/")[0] == "admin" and not prefix:
        raise NotRun("routes that begin with admin belong to the host")
    return Endpoint(function, parsed(whole), methods, values.get("authLevel", "FUNCTION").lower(), whole)


class Http:
    """The app. Without `keys` nobody is asked for one, as in Microsoft's local tools."""

    def __init__(self, endpoints: Iterable[Endpoint], invoker: Invoker, keys: Keys | None) -> None:
        self._endpoints = sorted(endpoints, key=lambda one: one.route.rank)
        self._invoker, self._keys = invoker, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = await self._respond(scope, receive)
        names = {name.lower() for name, _ in response.headers}
        extra = [] if "content-length" in names or response.status == 204 else [_length(response.body)]
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers + extra})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        found = self._find(scope)
        if found is None:
            return Response(404)
        one, parameters = found
        request = _request(scope, parameters)
        if self._keys is not None and not self._keys.allow(one.level, _shown(request)):
            return Response(401)
        body = await _body(receive)
        if body is None:
            return Response(413)
        request["body"] = {"bytes": base64.b64encode(body).decode()} if body else {}
        reason = f"{request['method']} {_path(scope):.{LONGEST_LOGGED}}"
        call = Call({"http": request}, reason, request["headers"].get("traceparent", ""))
        try:
            return responded(one.function, await self._invoker.run(one.function, call))
        except FunctionFailed:  # logged, and not shown to clients
            return Response(500)
        except WorkerEnded:
            return Response(503)

    def _find(self, scope: Scope) -> tuple[Endpoint, dict[str, str]] | None:
        path = _path(scope).strip("/")
        for one in self._endpoints:
            if not one.methods or scope["method"] in one.methods:
                matched = one.route.match(path)
                if matched is not None:
                    return one, {name: unquote(value) for name, value in matched.items()}
        return None


def responded(function: Function, outcome: Outcome) -> Response:
    """The response that a function's return value, or its output of type http, stands for."""
    named = [one.name for one in function.outputs if one.type == HTTP_OUTPUT]
    data = next((outcome.outputs[name] for name in named if outcome.outputs.get(name)), None)
    if data is None and RETURNED in named:
        data = outcome.returned
    if not data:
        return Response(204)
    http = data.get("http")
    if http is None:
        return _plain(data)
    headers = [*http.get("headers", {}).items(), *(("set-cookie", _cookie(one)) for one in http.get("cookies", ()))]
    body = http.get("body", {})
    return Response(int(http.get("status_code") or 200), tuple(headers), _bytes(body))


def _plain(data: dict[str, Any]) -> Response:
    kind = "application/json" if "json" in data else "text/plain; charset=utf-8"
    return Response(200, (("content-type", kind),), _bytes(data))


def _bytes(data: dict[str, Any]) -> bytes:
    if "bytes" in data:
        return base64.b64decode(data["bytes"])
    text: str = data.get("string", data.get("json", ""))
    return text.encode()


def _cookie(one: dict[str, Any]) -> str:
    made = cookies.SimpleCookie({one["name"]: ""})
    morsel = made[one["name"]]
    morsel.set(one["name"], one.get("value", ""), one.get("value", ""))
    for name, key in (("domain", "domain"), ("path", "path"), ("max_age", "max-age")):
        if one.get(name, {}).get("value") is not None:
            value = one[name]["value"]
            morsel[key] = int(value) if name == "max_age" else value
    for name, key in (("secure", "secure"), ("http_only", "httponly")):
        morsel[key] = bool(one.get(name, {}).get("value"))
    same_site = one.get("same_site", "None")
    morsel["samesite"] = {"None": "", "ExplicitNone": "None"}.get(same_site, same_site)
    return morsel.OutputString()


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()


def _path(scope: Scope) -> str:
    """As it was sent: what is escaped in it stays so, also in the log."""
    path: str = scope["raw_path"].decode("latin-1").split("?")[0]
    return path


def _shown(request: dict[str, Any]) -> str:
    shown: str = request["headers"].get(KEY_HEADER) or request["query"].get(KEY_PARAMETER, "")
    return shown


def _request(scope: Scope, parameters: dict[str, str]) -> dict[str, Any]:
    """A request in the protocol's form, where several values of one name are joined by commas."""
    headers = _joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    raw_query = scope["query_string"].decode("latin-1")
    path = _path(scope)
    return {
        "method": scope["method"],
        "url": f"{scope['scheme']}://{headers.get('host', '')}{path}{'?' if raw_query else ''}{raw_query}",
        "headers": headers,
        "query": _joined(parse_qsl(raw_query, keep_blank_values=True)),
        "params": parameters,
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found = dict[str, str]()
    for name, value in pairs:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


async def _body(receive: Receive) -> bytes | None:
    parts, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > LONGEST_BODY_BYTES:
            return None
    return b"".join(parts)
