"""Routes that take strict JSON bodies, and only the query parameters they declare."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from twofold.web.bodies import JsonRequest
from twofold.web.problems import documented, invalid


class StrictRoute(APIRoute):
    """A route whose functions may take a `JsonBody`. A parameter it does not know is a mistake, and is named."""

    request_class = JsonRequest

    def get_route_handler(self) -> Callable[[Request], Any]:
        """See FastAPI: the function that answers a request."""
        handle: Callable[[Request], Awaitable[Response]] = super().get_route_handler()
        known = set(_query_parameters(self.dependant))

        async def answer(request: Request) -> Response:
            unknown = [name for name in request.query_params if name not in known]
            if unknown:
                message = f"Not known here; there is {', '.join(sorted(known)) or 'none'}"
                raise invalid([{"in": "query", "field": name[:200], "message": message} for name in unknown])
            return await handle(self.request_class(request.scope, request.receive))

        return answer


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        yield parameter.alias
    for dependency in dependant.dependencies:
        yield from _query_parameters(dependency)


def router(**settings: Any) -> APIRouter:
    """A FastAPI router of strict routes, with their errors documented; `settings` are those of `APIRouter`."""
    return APIRouter(route_class=StrictRoute, responses=documented(), **settings)
