"""The routes of an Api, and what all of them refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from fastapi import Request, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from twofold.api import Api, ServedCommand, ServedRow
from twofold.api.addresses import Address
from twofold.web.forms import JsonForm
from twofold.web.problems import invalid
from twofold.web.rest.commands import CommandEndpoint
from twofold.web.rest.pages import PageEndpoint
from twofold.web.rest.rows import RowEndpoint
from twofold.web.routes import check_address

Endpoint = CommandEndpoint | RowEndpoint | PageEndpoint


class ApiRoute(Route):
    """A route for one command, row or page. Its parameters may contain an encoded slash."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.made, self.at = endpoint, endpoint.served.at
        self._known = known_parameters(endpoint)
        super().__init__(self.at.path, self.answer, methods=[self.at.method], name=endpoint.served.name)

    async def answer(self, request: Request) -> Response:
        """Raises: Problem 400 for an address that cannot be read, 422 for unknown or repeated parameters."""
        check_address(request)
        if request.scope["query_string"]:
            unexpected = list(self._unexpected(request))
            if unexpected:
                raise invalid(unexpected)
        return await self.made(request)

    def _unexpected(self, request: Request) -> Iterator[dict[str, str]]:
        sent = request.query_params
        names = [name for name, _ in sent.multi_items()]
        for name in names if len(names) != len(sent) or not self._known.keys() >= sent.keys() else ():
            if name not in self._known:
                message = f"Unknown parameter; known here: {', '.join(sorted(self._known)) or 'none'}"
            elif not self._known[name] and len(sent.getlist(name)) > 1:
                message = f"Must be given once, not {len(sent.getlist(name))} times"
            else:
                continue
            yield {"in": "query", "field": name[:200], "message": message}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See Starlette, which compares the decoded path: there a slash in a parameter cannot be told apart."""
        if scope["type"] != "http":
            return Match.NONE, {}
        sent = _segments(scope)
        if len(sent) != len(self.at.segments):
            return Match.NONE, {}
        parameters: dict[str, str] = {}
        for segment, text in zip(self.at.segments, sent, strict=True):
            if segment.startswith("{") and text:
                parameters[segment[1:-1]] = text
            elif segment != text:
                return Match.NONE, {}
        child = {"endpoint": self.endpoint, "path_params": parameters}
        return (Match.FULL if scope["method"] in (self.methods or ()) else Match.PARTIAL), child


def _segments(scope: Scope) -> list[str]:
    """The decoded segments of a path."""
    found: list[str] | None = scope.get("twofold.segments")
    if found is None:
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        path = raw.decode("latin-1").removeprefix(quote(scope.get("root_path", "")))
        scope["twofold.segments"] = found = [unquote(segment) for segment in path.split("/")[1:]]
    return found


def known_parameters(endpoint: Endpoint) -> dict[str, bool]:
    """The query parameters of an endpoint, and whether each may be repeated."""
    match endpoint:
        case PageEndpoint():
            return {
                **dict.fromkeys(endpoint.known, False),
                **{name: one.several for name, one in endpoint.filters.items()},
            }
        case RowEndpoint():
            return {"after": False}
        case CommandEndpoint():
            return {}


def routes_of(api: Api) -> list[ApiRoute]:
    """A route for each address; where several match, the one with a literal segment comes first."""
    form = JsonForm(api.names, api.decimals)
    rows = [one.at for one in api.served if isinstance(one, ServedRow)]
    routes = [ApiRoute(_endpoint(one, form, rows)) for one in api.served]
    return sorted(routes, key=lambda route: [segment.startswith("{") for segment in route.at.segments])


def _endpoint(served: Any, form: JsonForm, rows: list[Address]) -> Endpoint:
    match served:
        case ServedCommand():
            return CommandEndpoint(served, form, _located(served.at, rows))
        case ServedRow():
            return RowEndpoint(served, form)
        case _:
            return PageEndpoint(served, form)


def _located(at: Address, rows: list[Address]) -> str | None:
    """The path of the rows that a POST creates: `/orders/` for `POST /orders` and `GET /orders/{id}`."""
    is_collection = at.method == "POST" and not at.parameters
    below = [row for row in rows if row.segments[:-1] == at.segments and row.segments[-1].startswith("{")]
    return f"{at.path}/" if is_collection and below else None
