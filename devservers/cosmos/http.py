"""Requests and answers, and the ASGI app that turns one into the other."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgspec

from devservers.cosmos.errors import Refused

LONGEST_REQUEST_BYTES = 2 * 1024 * 1024
TRANSPORT = "devservers.cosmos.transport"  # where the server puts a connection, so that it can be broken
log = logging.getLogger("devservers.cosmos")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


@dataclass(slots=True)
class Request:
    """A request: `parts` are those of its path, headers have lower-case names."""

    method: str
    parts: list[str]
    headers: dict[str, str]
    body: bytes
    base: str

    def header(self, name: str) -> str | None:
        """The value of a header; None without it."""
        return self.headers.get(name)

    def flag(self, name: str) -> bool:
        """Whether a header says true."""
        return self.headers.get(name, "").lower() == "true"

    def json(self) -> Any:
        """The body. Raises: Refused."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise Refused(400, f"the body is not JSON: {error}.") from None

    def object(self) -> dict[str, Any]:
        """The body, if it is a JSON object. Raises: Refused."""
        value = self.json()
        if not isinstance(value, dict):
            raise Refused(400, "the body must be a JSON object.")
        return value


@dataclass(slots=True)
class Answer:
    """An answer. `lost`: the connection breaks instead."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False


Handler = Callable[[Request], Answer]


class Served:
    """The ASGI app: one request after the other, each handled whole."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = answered(self._handle, _request(scope, await _body(receive)))
        if answer.lost:
            scope[TRANSPORT].abort()
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
        await send({"type": "http.response.body", "body": answer.body})


def answered(handle: Handler, request: Request) -> Answer:
    """The answer to a request, also to one that is refused."""
    try:
        return handle(request)
    except Refused as error:
        return _refusal(error)
    except Exception:
        log.exception("%s /%s failed", request.method, "/".join(request.parts))
        return _refusal(Refused(500, "the development server has a fault: see its output."))


def _refusal(error: Refused) -> Answer:
    """The answer for an error."""
    headers = dict(error.headers)
    if error.substatus:
        headers["x-ms-substatus"] = str(error.substatus)
    if error.status == 304:
        return Answer(304, b"", headers)
    more = {"additionalErrorInfo": error.more} if error.more else {}
    return Answer(error.status, as_json({"code": error.code, "message": error.message, **more}), headers)


def as_json(value: Any) -> bytes:
    """A value as JSON."""
    return msgspec.json.encode(value)


def _request(scope: Scope, body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["raw_path"].decode("ascii").strip("/")
    parts = [unquote(part) for part in path.split("/")] if path else []
    base = f"{scope['scheme']}://{headers.get('host', '127.0.0.1')}/"
    return Request(scope["method"], parts, headers, body, base)


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    every = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-ms-activity-id", str(uuid.uuid4()).encode()),
    ]
    return every + [(name.encode(), value.encode()) for name, value in answer.headers.items()]
