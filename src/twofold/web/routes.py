"""Routes that take strict JSON bodies, and only the query parameters they declare."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from functools import wraps
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_typed_signature
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, _effective_route_context_var

from twofold.web.bodies import FromJson, JsonRequest
from twofold.web.commands import asked
from twofold.web.consistency import freshness
from twofold.web.dependencies import returns_response, solver, with_dependencies
from twofold.web.forms import CURRENT, PLAIN, JsonForm
from twofold.web.identity import logged_in_actor
from twofold.web.openapi import documented, sends
from twofold.web.parameters import Parameters
from twofold.web.preconditions import if_new, if_none_match, precondition
from twofold.web.problems import Problem

_NO_ESCAPE = re.compile(b"%(?![0-9A-Fa-f]{2})")

F = TypeVar("F", bound=Callable[..., Any])
Handle = Callable[[Request], Awaitable[Response]]
Responses = Mapping[int | str, dict[str, Any]]


class StrictRoute(APIRoute):
    """A route whose functions may take a `JsonBody`. Unknown parameters are refused by name.

    Its errors and response headers in OpenAPI follow from its parameters. If the function is annotated to return a
    `Response`, its `response_model` is described the way `answer` writes it.
    """

    request_class = JsonRequest
    form: ClassVar[JsonForm] = PLAIN

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        if returns_response(endpoint) and _is_model(settings.get("response_model")):
            settings["response_model"] = self.form.described(settings["response_model"])
        super().__init__(path, in_form(self.form, endpoint), **settings)
        self.responses = _merged(_responses(self.dependant, self.status_code or 200), self.responses)

    def get_route_handler(self) -> Callable[[Request], Any]:
        """See FastAPI, which calls this for the route itself, and again whenever its router is included in another."""
        handle: Handle = super().get_route_handler()
        inclusion = _effective_route_context_var.get()  # private; nothing public tells the dependencies of an inclusion
        included = inclusion is not None and inclusion.original_route is self
        dependant: Dependant = inclusion.dependant if inclusion is not None and included else self.dependant
        parameters = Parameters(with_dependencies(dependant))
        quick = solver(dependant)

        async def answer(request: Request) -> Response:
            request = self.request_class(request.scope, request.receive)
            check_address(request)
            overrides = request.app.dependency_overrides
            if overrides:
                Parameters(with_dependencies(dependant, overrides)).check(request)
                return await (handle if included else self._handler_in(request.app))(request)
            parameters.check(request)
            if quick is None:
                return await handle(request)
            errors: list[Any] = []
            arguments = await quick.arguments(request, errors)
            if errors:
                raise RequestValidationError(errors)
            response: Response = await quick.call(**arguments)
            return response

        return answer

    def _handler_in(self, app: FastAPI) -> Handle:
        """FastAPI's handler with the overrides of an app that took this route from a router as it is."""
        route = copy(self)
        route.dependency_overrides_provider = app
        return APIRoute.get_route_handler(route)


def check_address(request: Request) -> None:
    """Raises: Problem 400 if the address is not valid UTF-8: it would be mistaken for another address."""
    parts: dict[str, bytes] = {"path": request.scope.get("raw_path") or b"", "query": request.scope["query_string"]}
    for what, raw in parts.items():
        if raw.isascii() and b"%" not in raw:
            continue
        try:
            unquote_to_bytes(raw.decode("ascii")).decode()
            if _NO_ESCAPE.search(raw):
                raise ValueError("a percent sign without two hex digits")
        except ValueError:
            shown = raw[:80].decode("ascii", "backslashreplace")
            raise Problem(400, "invalid-address", f"The {what} is not percent-encoded UTF-8: {shown!r}") from None


def _responses(dependant: Dependant, success: int) -> Responses:
    """The errors that a route may return, and the headers that it sends."""
    calls = {each.call for each in with_dependencies(dependant)}
    statuses = {400, 422, 503}
    if dependant.body_params:
        statuses |= {408, 413, 415}
    if dependant.path_params:
        statuses |= {404}
    if logged_in_actor in calls:
        statuses |= {401}
    if asked in calls:
        statuses |= {409, 413}  # an undeclared body is still read, to detect a reused key
    if calls & {precondition, if_new}:
        statuses |= {412}
    found: Responses = documented(*sorted(statuses))
    for name, senders in _SENT_BY.items():
        found = _merged(found, sends(success, name) if calls & senders else {})
    if if_none_match in calls:
        found = _merged(found, _merged({304: {"description": "Still at that version"}}, sends(304, "ETag")))
    return found


_SENT_BY: dict[str, set[Any]] = {
    "Consistency-Token": {asked},
    "Idempotency-Expires": {asked},
    "ETag": {precondition, if_none_match},
    "Preference-Applied": {freshness},
}


def _merged(ours: Responses, theirs: Responses) -> dict[int | str, dict[str, Any]]:
    """Both, response by response and header by header."""
    found = dict(ours)
    for status, response in theirs.items():
        mine = found.get(status, {})
        headers = {**mine.get("headers", {}), **response.get("headers", {})}
        found[status] = {**mine, **response, **({"headers": headers} if headers else {})}
    return found


def in_form(form: JsonForm, endpoint: F) -> F:
    """The function, which then parses bodies and writes responses in this form."""
    if form == PLAIN or inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def waiting(*arguments: Any, **values: Any) -> Any:
        token = CURRENT.set(form)
        try:
            return await endpoint(*arguments, **values)
        finally:
            CURRENT.reset(token)

    @wraps(endpoint)
    def in_a_thread(*arguments: Any, **values: Any) -> Any:
        token = CURRENT.set(form)
        try:
            return endpoint(*arguments, **values)
        finally:
            CURRENT.reset(token)

    formed: Any = waiting if inspect.iscoroutinefunction(endpoint) else in_a_thread
    parameters = get_typed_signature(endpoint).parameters.values()
    own = [parameter.replace(annotation=_in_form(form, parameter.annotation)) for parameter in parameters]
    formed.__signature__ = inspect.signature(endpoint).replace(parameters=own)
    found: F = formed
    return found


def _in_form(form: JsonForm, annotation: Any) -> Any:
    if get_origin(annotation) is not Annotated:
        return annotation
    metadata = [FromJson(form) if item == FromJson() else item for item in annotation.__metadata__]
    return Annotated[(get_args(annotation)[0], *metadata)]


def _is_model(response_model: Any) -> bool:
    return response_model is not None and not isinstance(response_model, DefaultPlaceholder)


def router(*, form: JsonForm = PLAIN, **settings: Any) -> APIRouter:
    """A FastAPI router of strict routes, whose JSON has this form; `settings` are those of `APIRouter`."""
    return APIRouter(route_class=type("StrictRoute", (StrictRoute,), {"form": form}), **settings)
