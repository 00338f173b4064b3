"""`/graphql`: requests and responses, as GraphQL over HTTP has them (edition of September 2026)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.routing import Route

from twofold.api import Api, nobody
from twofold.api.addresses import Address
from twofold.errors import TwofoldError
from twofold.graphql.documents import Operation, Refused
from twofold.web.bodies import JsonRequest
from twofold.web.commands import asked_with
from twofold.web.consistency import freshness
from twofold.web.graphql.context import Context
from twofold.web.graphql.errors import of_problem, of_request
from twofold.web.graphql.execution import Execution
from twofold.web.graphql.negotiated import MEDIA_TYPE, PARTIAL, GraphqlResponse, body_of, media_type
from twofold.web.graphql.page import page, wants_page
from twofold.web.headers import printable_header
from twofold.web.preconditions import if_none_match
from twofold.web.problems import Problem, logged_problem
from twofold.web.rest.rows import weak_etag
from twofold.web.steps import Steps, request_id

PATH = "/graphql"
_SERVER_ERRORS = frozenset(
    {
        "INTERNAL_ERROR",
        "UNAVAILABLE",
        "OUTCOME_UNKNOWN",
        "READ_MODEL_BEHIND",
        "ROW_PARKED",
        "LOG_REPLACED",
        "OVERLOADED",
    }
    | {"NEWER_SCHEMA", "NOT_REPEATABLE", "STOPPING"}
)
"""Codes of errors that may be gone when the request is sent again: its response is not kept."""


class Sent(msgspec.Struct):
    """The members of a request; others are ignored."""

    query: str
    operationName: str | None = None  # noqa: N815 (a name of the specification)
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


_SENT = msgspec.json.Decoder(Sent)
_VARIABLES = msgspec.json.Decoder(dict[str, Any] | None)


class _NotKept(Exception):
    """A response that is not kept for its Idempotency-Key."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class GraphqlRoute(Route):
    """The route for one method."""

    evaluates: tuple[str, ...] = ()

    def __init__(self, endpoint: GraphqlEndpoint, method: str) -> None:
        self.at = Address(method, ("graphql",))
        super().__init__(PATH, endpoint.answer, methods=[method], name=f"graphql_{method.lower()}")
        self.methods = {method}
        self.answer = endpoint.answer
        if method == "GET":
            self.evaluates = ("If-None-Match",)


class GraphqlEndpoint:
    """Handles the requests of an App."""

    def __init__(self, api: Api, execution: Execution) -> None:
        self.execution, self._title = execution, api.title
        self._private = {} if api.actor is nobody and api.scope is None else {"Cache-Control": "private"}

    async def answer(self, request: Request) -> Response:
        """The response; errors of the request itself are in the form of GraphQL, too."""
        if request.method == "GET" and self.execution.is_open and wants_page(request):
            return page(self._title)
        media = media_type(request.headers.get("accept", ""))
        if media is None:
            detail = f"The response is {MEDIA_TYPE} or application/json: Accept one of them"
            return _refused(Problem(406, "not-acceptable", detail), MEDIA_TYPE)
        request = JsonRequest(request.scope, request.receive)
        try:
            return await self._answer(request, media)
        except Refused as refused:
            body = body_of(None, of_request(refused.errors), None)
            return GraphqlResponse(body, 422 if refused.parsed else 400, media, {})
        except (Problem, HTTPException, TwofoldError, RequestValidationError) as error:
            return _refused(logged_problem(error, request), media)

    async def _answer(self, request: JsonRequest, media: str) -> Response:
        sent = _in_query(request) if request.method == "GET" else await _in_body(request)
        operation = self.execution.documents.operation(sent.query, sent.operationName)
        if operation.kind == "subscription":
            detail = "A subscription needs a WebSocket at this address, with the subprotocol graphql-transport-ws"
            raise Problem(422, "invalid-request", detail)
        if operation.kind == "mutation":
            return await self._mutation(request, media, sent, operation)
        variables = operation.variables(sent.variables or {})
        fresh = await freshness(request, None)
        context = Context(request, fresh, None, ())
        response = await self._executed(context, media, sent, operation, variables)
        return await _conditional(request, response) if request.method == "GET" else response

    async def _mutation(self, request: JsonRequest, media: str, sent: Sent, operation: Operation) -> Response:
        if request.method == "GET":
            raise Problem(405, "method-not-allowed", "A mutation must be sent by POST", {"Allow": "POST"})
        variables = operation.variables(sent.variables or {})
        this = await asked_with(request, None)
        key = printable_header(request.headers, "Idempotency-Key")
        scope = () if key is None else (None if this.actor is None else this.actor.id, "POST", PATH, key)
        steps = Steps(request_id(*scope)) if scope else None
        whole = replace(this, steps=steps)
        context = Context(request, await freshness(request, None), this, scope)

        async def handle() -> Response:
            response = await self._executed(context, media, sent, operation, variables)
            if response.is_temporary and scope:
                raise _NotKept(response)
            return response

        try:
            return await whole.once(handle)
        except _NotKept as error:
            return error.response

    async def _executed(
        self, context: Context, media: str, sent: Sent, operation: Operation, variables: Any
    ) -> _Executed:
        found = await self.execution.run(operation, variables, sent.variables or {}, context)
        headers = {**self._private, **context.fresh.headers}
        if context.token is not None:
            headers["Consistency-Token"] = context.token
        body = body_of(found.data, found.errors, {"parked": context.parked} if context.parked else None)
        response = _Executed(body, PARTIAL if found.errors else 200, media, headers)
        response.is_temporary = any(error["extensions"]["code"] in _SERVER_ERRORS for error in found.errors)
        return response


class _Executed(GraphqlResponse):
    is_temporary = False


def _refused(problem: Problem, media: str) -> Response:
    body = body_of(None, [of_problem(problem)], None)
    return GraphqlResponse(body, problem.status_code, media, dict(problem.headers or {}))


async def _conditional(request: Request, response: Response) -> Response:
    """With an entity tag, or 304 if the client has it."""
    if response.status_code != 200:
        return response
    tag = weak_etag(bytes(response.body))
    response.headers["ETag"] = tag
    if (await if_none_match(request)).matches(tag):
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return Response(status_code=304, headers=headers)
    return response


async def _in_body(request: JsonRequest) -> Sent:
    """Raises: Problem 400, 413, 415, 422."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Problem(415, "unsupported-media-type", "The body must be sent as Content-Type: application/json")
    body = await request.body()
    try:
        return _SENT.decode(body)
    except msgspec.ValidationError as error:
        raise Problem(422, "invalid-request", f"This is not a request of GraphQL: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "invalid-json", f"The body is not JSON: {error}") from None


def _in_query(request: Request) -> Sent:
    """Raises: Problem 400, 422."""
    sent = request.query_params
    for name in ("query", "operationName", "variables"):
        if len(sent.getlist(name)) > 1:
            raise Problem(422, "invalid-request", f"The parameter {name} must be given once")
    query = sent.get("query")
    if query is None:
        raise Problem(422, "invalid-request", "The parameter query is missing: it holds the document")
    try:
        variables = _VARIABLES.decode(sent.get("variables") or "null")
    except msgspec.ValidationError:
        raise Problem(422, "invalid-request", "The parameter variables must be a JSON object") from None
    except msgspec.DecodeError as error:
        raise Problem(400, "invalid-json", f"The parameter variables is not JSON: {error}") from None
    return Sent(query, sent.get("operationName") or None, variables)
