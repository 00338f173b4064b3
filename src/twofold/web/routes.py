"""Routes that take strict JSON bodies, and only the query parameters they declare."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import wraps
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Request, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_typed_signature
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from twofold.web.bodies import FromJson, JsonRequest
from twofold.web.commands import asked
from twofold.web.consistency import freshness
from twofold.web.forms import CURRENT, PLAIN, JsonForm
from twofold.web.openapi import documented, sends
from twofold.web.parameters import Plainly, plain, takes_several
from twofold.web.preconditions import if_new, if_none_match, precondition
from twofold.web.problems import Problem, invalid

_NO_ESCAPE = re.compile(b"%(?![0-9A-Fa-f]{2})")

F = TypeVar("F", bound=Callable[..., Any])
Responses = Mapping[int | str, dict[str, Any]]


class StrictRoute(APIRoute):
    """A route whose functions may take a `JsonBody`. A parameter it does not know is a mistake, and is named.

    OpenAPI gets its errors and the headers it sends from its parameters. If the function is annotated to return a
    `Response`, its `response_model` is described the way `answer` writes it.
    """

    request_class = JsonRequest
    form: ClassVar[JsonForm] = PLAIN

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        if _returns_response(endpoint) and _is_model(settings.get("response_model")):
            settings["response_model"] = self.form.described(settings["response_model"])
        super().__init__(path, in_form(self.form, endpoint), **settings)
        self.responses = _merged(_responses(self.dependant, self.status_code or 200), self.responses)

    def get_route_handler(self) -> Callable[[Request], Any]:
        """See FastAPI: the function that answers a request."""
        handle: Callable[[Request], Awaitable[Response]] = super().get_route_handler()
        fields = [field for one in with_dependencies(self.dependant) for field in one.query_params]
        known = {field.alias: takes_several(field.field_info.annotation) for field in fields}
        parameters = plain(self.dependant)
        plainly = Plainly(with_dependencies(self.dependant))

        async def answer(request: Request) -> Response:
            _check_address(request)
            errors: list[Any] = list(_query_errors(request.query_params, known))
            if errors:
                raise invalid(errors)
            if plainly.fields and (odd := list(plainly.errors(request))):
                raise RequestValidationError(odd)
            if parameters is None:
                return await handle(self.request_class(request.scope, request.receive))
            values = await parameters.values(request, errors)
            if errors:
                raise RequestValidationError(errors)
            response: Response = await parameters.call(**values)
            return response

        return answer


def _query_errors(sent: QueryParams, known: Mapping[str, bool]) -> Iterator[dict[str, str]]:
    for name in sent:
        if name not in known:
            message = f"Not known here; there is {', '.join(sorted(known)) or 'none'}"
        elif not known[name] and len(sent.getlist(name)) > 1:
            message = f"Given {len(sent.getlist(name))} times, and wanted once"
        else:
            continue
        yield {"in": "query", "field": name[:200], "message": message}


def _check_address(request: Request) -> None:
    """Raises: Problem 400 where the address is no text: what cannot be read would be taken for something else."""
    parts: dict[str, bytes] = {"path": request.scope.get("raw_path") or b"", "query": request.scope["query_string"]}
    for what, raw in parts.items():
        try:
            unquote_to_bytes(raw.decode("ascii")).decode()
            if _NO_ESCAPE.search(raw):
                raise ValueError("a percent sign without two hex digits")
        except ValueError:
            shown = raw[:80].decode("ascii", "backslashreplace")
            raise Problem(400, "invalid-address", f"The {what} is not percent-encoded UTF-8: {shown!r}") from None


def _responses(dependant: Dependant, success: int) -> Responses:
    """The errors that a route may return, and the headers that it sends."""
    calls = {one.call for one in with_dependencies(dependant)}
    statuses = {400, 422, 503}
    if dependant.body_params:
        statuses |= {408, 413, 415}
    if dependant.path_params:
        statuses |= {404}
    if asked in calls:
        statuses |= {409, 413}  # an unexpected body is read all the same, to know whether the key was reused
    if calls & {precondition, if_new}:
        statuses |= {412}
    found: Responses = _merged(documented(*sorted(statuses)), sends(503, "Retry-After"))
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


def with_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    """The parameters of a function, and those of its dependencies, recursively."""
    yield dependant
    for dependency in dependant.dependencies:
        yield from with_dependencies(dependency)


def in_form(form: JsonForm, endpoint: F) -> F:
    """The function, made to parse its bodies and to write its answers in this form."""
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
    own = [one.replace(annotation=_in_form(form, one.annotation)) for one in parameters]
    formed.__signature__ = inspect.signature(endpoint).replace(parameters=own)
    found: F = formed
    return found


def _in_form(form: JsonForm, annotation: Any) -> Any:
    if get_origin(annotation) is not Annotated:
        return annotation
    metadata = [FromJson(form) if one == FromJson() else one for one in annotation.__metadata__]
    return Annotated[(get_args(annotation)[0], *metadata)]


def _is_model(response_model: Any) -> bool:
    return response_model is not None and not isinstance(response_model, DefaultPlaceholder)


def _returns_response(endpoint: Callable[..., Any]) -> bool:
    returns = get_type_hints(endpoint).get("return")
    return isinstance(returns, type) and issubclass(returns, Response)


def router(*, form: JsonForm = PLAIN, **settings: Any) -> APIRouter:
    """A FastAPI router of strict routes, whose JSON has this form; `settings` are those of `APIRouter`."""
    return APIRouter(route_class=type("StrictRoute", (StrictRoute,), {"form": form}), **settings)
