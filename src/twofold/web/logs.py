"""Logs: one line per request, with the ids of its command and conversation; JSON, unless stderr is a terminal.

No line has personal data: a request is named by the pattern of its route (`GET /members/{id}`), not by its path, query,
headers or actor; a traceback has the types of errors and where they were raised, not their messages, which often hold
values. On a terminal, where a developer watches, tracebacks are complete.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from traceback import format_tb
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from twofold.web.headers import CORRELATION, printable_header
from twofold.web.patterns import Patterns
from twofold.web.problems import Problem

log = logging.getLogger("twofold.access")


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
    handler = logging.StreamHandler(sys.stderr)
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


class AccessLog:
    """ASGI middleware: one log line per request; its X-Correlation-ID is logged and returned."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._patterns = app, Patterns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        clear_contextvars()
        correlation_id = _correlation_id(scope)
        if correlation_id is not None:
            bind_contextvars(correlation_id=correlation_id)
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if correlation_id is not None:
                    MutableHeaders(scope=message)[CORRELATION] = correlation_id
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:  # cut off when the process stops: see admission
            status = 503
            raise
        finally:
            duration_ms = round((time.perf_counter() - began) * 1000, 1)
            level = logging.DEBUG if scope["path"].startswith("/health/") and status < 400 else logging.INFO
            what = {"method": scope["method"], "path": self._patterns.of(scope), "status": status}
            log.log(level, "%(method)s %(path)s %(status)d", what, extra={**what, "duration_ms": duration_ms})


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
    try:
        return printable_header(Headers(scope=scope), CORRELATION)
    except Problem:  # refused later, if the route uses it
        return None
