"""Errors as responses: problem details (RFC 9457) for everything that can go wrong with a request.

`type` is one word for programs, `detail` a sentence for people. Errors that the caller cannot fix are logged, and their
cause is not sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPMethod, HTTPStatus
from urllib.parse import quote

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match

from twofold.errors import (
    Contended,
    InvalidCursor,
    InvalidInput,
    InvalidToken,
    LogReplaced,
    NewerSchema,
    NotFound,
    OutcomeUnknown,
    ReadModelBehind,
    Rejected,
    RowParked,
    RowUnreadable,
    TwofoldError,
    Unavailable,
    VersionConflict,
)
from twofold.web.field_errors import field_errors
from twofold.web.idempotency import IdempotencyKeyReused
from twofold.web.patterns import Patterns
from twofold.web.steps import NotRepeatable

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 1_000
RETRY_AFTER = {"Retry-After": "1"}
ANSWERS_HEAD = "twofold.answers-head"
"""In the scope of a request: whether HEAD works wherever GET does (see methods.py)."""

_WITHOUT_VALUES = (ReadModelBehind, Unavailable, OutcomeUnknown, LogReplaced, NewerSchema)
"""Errors whose texts have no ids and no values, so that they can be logged."""

log = logging.getLogger("twofold.web")


class Problem(HTTPException):
    """An error response. Raise it anywhere while handling a request."""

    def __init__(
        self, status: int, type: str, detail: str, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(status, detail, headers)
        self.type, self.members = type, members

    def content(self, instance: str) -> dict[str, object]:
        """The JSON members; `instance` is the requested path."""
        return {
            "type": self.type,
            "title": self.type.replace("-", " ").capitalize(),
            "status": self.status_code,
            "detail": self.detail,
            "instance": instance,
            **self.members,
        }

    def response(self, request: HTTPConnection) -> Response:
        """The response to this request, or to a WebSocket that is not accepted."""
        body = msgspec.json.encode(self.content(quote(request.scope["path"])))
        return Response(body, self.status_code, self.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Return problem details for every error of this app."""
    for kind in (HTTPException, RequestValidationError, TwofoldError):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(Exception, _answer_unexpected)  # the server logs it, with its traceback


async def _answer(request: Request, error: Exception) -> Response:
    return logged_problem(error, request).response(request)


def logged_problem(error: Exception, request: Request) -> Problem:
    """The problem for an error, which is logged if the client cannot do anything about it."""
    problem = problem_of(error, request)
    if problem.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        why = str(error) if isinstance(error, _WITHOUT_VALUES) else problem.type
        unexpected = error if problem.type == "internal-error" else None
        log.warning("%s: %s: %s", Patterns().of(request.scope), type(error).__name__, why, exc_info=unexpected)
    return problem


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    return _internal().response(request)


def problem_of(error: Exception, request: Request) -> Problem:
    """The problem for an error."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return _http(error, request)
        case RequestValidationError():
            return invalid(list(field_errors(error.errors(), error.body)))
        case VersionConflict():
            failed = condition_of(request)
            return failed(error.actual) if failed else version_conflict(409, str(error), error.expected, error.actual)
        case Rejected():
            return Problem(422, "rejected", str(error), None, **({} if error.code is None else {"code": error.code}))
        case InvalidInput():
            return _refused(error)
        case _:
            return _unavailable(error)


def invalid(errors: Sequence[Mapping[str, str]], left_out: int = 0) -> Problem:
    """The problem for invalid fields; each error has `in`, `field` and `message`. `left_out` counts further errors."""
    count = len(errors) + left_out
    detail = "; ".join(f"{error['field'] or error['in']}: {error['message']}" for error in errors[:3])
    detail += f"; and {count - 3} more" if count > 3 else ""
    more = {"errorsLeftOut": count - MAX_ERRORS} if count > MAX_ERRORS else {}
    return Problem(422, "invalid-input", detail, None, errors=list(errors[:MAX_ERRORS]), **more)


def overloaded(count: int, what: str) -> Problem:
    """The problem for a limit that is reached: `128 reads are already in progress`."""
    return Problem(503, "overloaded", f"{count} {what}: try again later", RETRY_AFTER)


def stopping() -> Problem:
    """The problem for a request that was not begun because the process stops."""
    headers = {**RETRY_AFTER, "Connection": "close"}
    return Problem(503, "stopping", "This process is stopping; nothing was changed: send the request again", headers)


def cut_off() -> Problem:
    """The problem for a command that was begun, and cut off because the process stops; its id is not known here."""
    detail = "This process stopped before the command was complete: send it again with the same Idempotency-Key"
    return Problem(503, "outcome-unknown", detail, {**RETRY_AFTER, "Connection": "close"})


def version_conflict(status: int, detail: str, expected: object, actual: int) -> Problem:
    """The problem for a stream that is at another version."""
    return Problem(status, "version-conflict", detail, None, expected=expected, actual=actual)


Failed = Callable[[int], "Problem"]


def mark_conditional(request: Request, failed: Failed) -> None:
    """From now on, a version conflict means that a precondition of the request failed: 412, not 409."""
    request.state.conditional = failed


def condition_of(request: Request) -> Failed | None:
    """The function passed to `mark_conditional`, if any; it makes the problem for a version."""
    return getattr(request.state, "conditional", None)


def _http(error: HTTPException, request: Request) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail != phrase else f"{phrase}: {request.method} {quote(request.scope['path'])}"
    headers = {"Allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return Problem(error.status_code, phrase.lower().replace(" ", "-"), detail, headers)


def _allowed(request: Request) -> str:
    """All methods of this path: the router itself names only those of the first matching route."""
    asked = [{**request.scope, "method": method} for method in HTTPMethod]
    found = {scope["method"] for scope in asked if any(r.matches(scope)[0] is Match.FULL for r in request.app.routes)}
    if HTTPMethod.GET in found and request.scope.get(ANSWERS_HEAD):
        found.add(HTTPMethod.HEAD)
    return ", ".join(method for method in HTTPMethod if method in found)


def _refused(error: InvalidInput) -> Problem:
    match error:
        case IdempotencyKeyReused():
            return Problem(422, "idempotency-key-reused", str(error))
        case InvalidToken():
            return Problem(400, "invalid-token", str(error))
        case NotFound():
            return Problem(404, "not-found", str(error))
        case InvalidCursor():
            return Problem(400, "invalid-cursor", str(error))
        case _:
            return Problem(422, "invalid-input", str(error))


def _unavailable(error: Exception) -> Problem:
    match error:
        case ReadModelBehind():
            return Problem(503, "read-model-behind", str(error), RETRY_AFTER, lagEvents=error.lag_events)
        case RowParked():
            detail = f"A row of {error.projection} is parked and may be out of date: an operator has to mend it"
            return Problem(503, "row-parked", detail, None, since=error.since)
        case RowUnreadable():
            detail = f"A row of {error.projection} cannot be read; an operator has to fix it"
            return Problem(503, "row-parked", detail, None)
        case OutcomeUnknown():
            detail = "The store failed during the commit: send the request again with the same Idempotency-Key"
            return Problem(503, "outcome-unknown", detail, RETRY_AFTER, commandId=error.command_id)
        case Contended():
            return Problem(503, "unavailable", "Another transaction is in the way; nothing was changed", RETRY_AFTER)
        case Unavailable():
            return Problem(503, "unavailable", "The store cannot be reached; nothing was changed", RETRY_AFTER)
        case LogReplaced():
            return Problem(503, "log-replaced", "The store was replaced; its operator has to act first")
        case NewerSchema():
            detail = "This process cannot read data stored by a newer version; try again to reach a newer process"
            return Problem(503, "newer-schema", detail, RETRY_AFTER)
        case NotRepeatable():
            return Problem(500, "not-repeatable", str(error))
        case _:
            return _internal()


def _internal() -> Problem:
    return Problem(500, "internal-error", "An unexpected error occurred; it was logged")
