"""Routes that take strict JSON bodies, and only the query parameters they declare."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from twofold.web.bodies import JsonRequest
from twofold.web.commands import asked
from twofold.web.parameters import plain, takes_several
from twofold.web.preconditions import if_match
from twofold.web.problems import Problem, documented, invalid

_NO_ESCAPE = re.compile(b"%(?![0-9A-Fa-f]{2})")


class StrictRoute(APIRoute):
    """A route whose functions may take a `JsonBody`. A parameter it does not know is a mistake, and is named.

    The errors it may answer with are documented by themselves; what they are follows from its parameters.
    """

    request_class = JsonRequest

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        super().__init__(path, endpoint, **settings)
        self.responses = {**documented(*sorted(_statuses(self.dependant))), **self.responses}

    def get_route_handler(self) -> Callable[[Request], Any]:
        """See FastAPI: the function that answers a request."""
        handle: Callable[[Request], Awaitable[Response]] = super().get_route_handler()
        fields = [field for one in _with_dependencies(self.dependant) for field in one.query_params]
        known = {field.alias: takes_several(field.field_info.annotation) for field in fields}
        parameters = plain(self.dependant)

        async def answer(request: Request) -> Response:
            _check_address(request)
            errors: list[Any] = list(_query_errors(request.query_params, known))
            if errors:
                raise invalid(errors)
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


def _statuses(dependant: Dependant) -> Iterator[int]:
    """Which errors a route may answer with."""
    yield from (400, 422, 503)
    if dependant.body_params:
        yield from (408, 413, 415)
    if dependant.path_params:
        yield 404
    calls = [one.call for one in _with_dependencies(dependant)]
    if asked in calls:
        yield from (409, 413)  # a body that is not expected is read all the same, to know whether the key was reused
    if if_match in calls:
        yield 412


def _with_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for dependency in dependant.dependencies:
        yield from _with_dependencies(dependency)


def router(**settings: Any) -> APIRouter:
    """A FastAPI router of strict routes; `settings` are those of `APIRouter`."""
    return APIRouter(route_class=StrictRoute, **settings)
