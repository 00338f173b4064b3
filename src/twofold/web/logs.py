"""Logs: one line per request, with the ids of its command and conversation; JSON, unless stderr is a terminal.

A stream or a WebSocket has two lines: when it begins, and at its end, with its duration.

No line has personal data: a request is named by the pattern of its route (`GET /members/{id}`), not by its path, query,
headers or actor; a traceback has the types of errors and where they were raised, not their messages, which often hold
values. On a terminal, where a developer watches, tracebacks are complete.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from traceback import format_tb
from typing import Any, TextIO

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from twofold.web.headers import CORRELATION, is_sent, printable_header
from twofold.web.patterns import Patterns
from twofold.web.problems import Problem

_STATUS = {"http.response.start": 500, "websocket.accept": 101, "websocket.http.response.start": 500}
"""Messages that begin a response, and its status if they do not say it."""

log = logging.getLogger("twofold.access")

_CORRELATION = CORRELATION.lower().encode()
_JSON = json.JSONEncoder(default=repr).encode
_LINE = "%(method)s %(path)s %(status)d"


def configure_logs() -> None:
    """Send all logs of the process to stderr: coloured lines on a terminal, otherwise one JSON object per line."""
    watched = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]  # no values of variables
        if watched
        else [structlog.processors.ExceptionRenderer(without_messages), structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr) if watched else JsonLines()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("uvicorn.error").setLevel(
        logging.ERROR
    )  # its warnings are about malformed requests: see connections


class JsonLines(logging.StreamHandler[TextIO]):
    """Writes JSON lines to stderr.

    The line of a request has the members that structlog's processors give it, in their order, but is made without them,
    and those of one turn of the event loop are written together: made and written one by one they take a third of the
    time that it takes to read a row. A line of another kind is written at once, after those before it.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._lines: list[str] = []

    def request(self, level: int, what: dict[str, Any]) -> None:
        """Log a request."""
        event, same = _members(level, what["method"], what["path"], what["status"])
        context = get_contextvars()
        bound = f", {_JSON(context)[1:-1]}" if context else ""
        at = datetime.now(UTC).isoformat()[:-6]
        text = f'{{{event}{bound}, {same}, "duration_ms": {what["duration_ms"]}, "timestamp": "{at}Z"}}\n'
        with self.lock or nullcontext():  # other threads log, too
            if not self._lines:
                asyncio.get_running_loop().call_soon(self.flush)
            self._lines.append(text)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        self._write()
        super().emit(record)

    def flush(self) -> None:
        """See logging."""
        with self.lock or nullcontext():
            self._write()
            super().flush()

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self.stream.write("".join(lines))


@lru_cache(maxsize=1_024)
def _members(level: int, method: str, path: str, status: int) -> tuple[str, str]:
    """The members of a line that are the same for many requests: before the ids, and after them."""
    what = {"method": method, "path": path, "status": status}
    named = {"level": logging.getLevelName(level).lower(), "logger": log.name, **what}
    return _JSON({"event": _LINE % what})[1:-1], _JSON(named)[1:-1]


class AccessLog:
    """ASGI middleware: one log line per request; its X-Correlation-ID is logged and returned."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._patterns = app, Patterns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        clear_contextvars()
        correlation_id = _correlation_id(scope)
        if correlation_id is not None:
            bind_contextvars(correlation_id=correlation_id)
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] in _STATUS:
                status = message.get("status", _STATUS[message["type"]])
                if correlation_id is not None:
                    MutableHeaders(scope=message)[CORRELATION] = correlation_id
                if _has_no_end(message):
                    what = {"method": _method(scope), "path": self._patterns.of(scope), "status": status}
                    log.info(f"{_LINE} begins", what, extra=what)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:  # cut off when the process stops: see admission
            status = 503
            raise
        finally:
            _log(scope, self._patterns.of(scope), status, time.perf_counter() - began)


def _log(scope: Scope, pattern: str, status: int, took_s: float) -> None:
    level = logging.DEBUG if scope["path"].startswith("/health/") and status < 400 else logging.INFO
    if not log.isEnabledFor(level):
        return
    what = {"method": _method(scope), "path": pattern, "status": status, "duration_ms": round(took_s * 1000, 1)}
    match logging.root.handlers:
        case [JsonLines() as lines] if not log.handlers and not log.filters:
            lines.request(level, what)
        case _:
            log.log(level, _LINE, what, extra=what)


def _method(scope: Scope) -> str:
    return str(scope.get("method", "WEBSOCKET"))


def _has_no_end(message: Message) -> bool:
    """Whether a response begins that may go on for hours."""
    stream = "text/event-stream" in Headers(raw=message.get("headers", [])).get("content-type", "")
    return message["type"] == "websocket.accept" or stream


def without_messages(exc_info: Any) -> str:
    """A traceback in which errors have types only."""
    parts: list[str] = []
    seen: set[int] = set()
    error: BaseException | None = exc_info[1]
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        members = [f"  with {type(each).__qualname__}" for each in getattr(error, "exceptions", ())]
        frames = "".join(format_tb(error.__traceback__))
        parts.append("\n".join([f"{frames}{type(error).__module__}.{type(error).__qualname__}", *members]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nThen:\n\n".join(reversed(parts))


def _correlation_id(scope: Scope) -> str | None:
    if not is_sent(scope, _CORRELATION):
        return None
    try:
        return printable_header(Headers(scope=scope), CORRELATION)
    except Problem:  # refused later, if the route uses it
        return None
