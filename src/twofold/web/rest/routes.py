"""The routes of an Api, and what all of them refuse."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote

from fastapi import Request, Response
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from starlette.routing import Match, Route
from starlette.types import Scope

from twofold.api import Api, Served, ServedCall, ServedCommand, ServedPage, ServedRow, anyone
from twofold.errors import ConfigurationError
from twofold.web.forms import JsonForm
from twofold.web.problems import invalid
from twofold.web.rest.calls import CallEndpoint
from twofold.web.rest.commands import CommandEndpoint
from twofold.web.rest.pages import PageEndpoint
from twofold.web.rest.rows import RowEndpoint
from twofold.web.routes import check_address

_SEGMENTS = "twofold.segments"

Endpoint = CommandEndpoint | RowEndpoint | PageEndpoint


class ApiRoute(Route):
    """A route for one command, row or page. Its parameters may contain an encoded slash.

    `personal`: what it returns depends on who asks.
    """

    def __init__(self, endpoint: Endpoint, *, personal: bool) -> None:
        self.made, self.at, self.evaluates = endpoint, endpoint.served.at, endpoint.evaluates
        self._known, self._personal = known_parameters(endpoint), personal
        self._unknown = f"Unknown parameter; known here: {', '.join(sorted(self._known)) or 'none'}"
        super().__init__(self.at.path, self.answer, methods=[self.at.method], name=endpoint.served.name)
        self.methods = {self.at.method}  # without the HEAD that Starlette adds: see methods.py

    async def answer(self, request: Request) -> Response:
        """Raises: Problem 400 for an address that cannot be read, 422 for unknown or repeated parameters."""
        check_address(request)
        if request.scope["query_string"]:
            unexpected = list(self._unexpected(request))
            if unexpected:
                raise invalid(unexpected)
        response = await self.made(request)
        if self._personal:
            response.headers.setdefault("Cache-Control", "private")  # no shared cache gives it to another actor
        return response

    def _unexpected(self, request: Request) -> Iterator[dict[str, str]]:
        sent = request.query_params
        if len(sent.multi_items()) == len(sent) and self._known.keys() >= sent.keys():
            return
        for name in sent:  # once each, or a name that is sent thousands of times would take minutes
            if name not in self._known:
                message = self._unknown
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
        child = {"endpoint": self.endpoint, "path_params": parameters, "route": self}
        return (Match.FULL if scope["method"] in (self.methods or ()) else Match.PARTIAL), child


def _segments(scope: Scope) -> list[str]:
    """The decoded segments of a path below the root path."""
    root = scope.get("root_path", "")
    known: str | None
    found: list[str]
    known, found = scope.get(_SEGMENTS, (None, []))
    if known != root:
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        path, above = raw.decode("latin-1"), quote(root)
        below = path[len(above) :] if path.startswith(f"{above}/") else path
        found = [unquote(segment) for segment in below.split("/")[1:]]
        scope[_SEGMENTS] = root, found
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
    api.check()
    form = JsonForm(api.names, api.decimals)
    rows = [one for one in api.served if isinstance(one, ServedRow)]
    routes = [ApiRoute(_endpoint(one, form, rows), personal=_is_personal(one, api)) for one in api.served]
    return sorted(routes, key=lambda route: [segment.startswith("{") for segment in route.at.segments])


def _is_personal(served: Served, api: Api) -> bool:
    return not isinstance(served, ServedCommand | ServedCall) and (served.allow is not anyone or api.scope is not None)


def _endpoint(served: Served, form: JsonForm, rows: list[ServedRow]) -> Endpoint:
    """Raises: ConfigurationError for a class that pydantic cannot read."""
    try:
        match served:
            case ServedCommand():
                return CommandEndpoint(served, form, _located(served, rows))
            case ServedCall():
                return CallEndpoint(served, form)
            case ServedRow():
                return RowEndpoint(served, form)
            case ServedPage():
                return PageEndpoint(served, form)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        why = str(error).partition("\n")[0]
        raise ConfigurationError(f"{served.owner}: pydantic cannot read what is sent: {why}") from error


def _located(command: ServedCommand, rows: list[ServedRow]) -> ServedRow | None:
    """The row that a POST creates, if it follows the command's events: of `GET /orders/{id}` for `POST /orders`.

    A new stream may be created below, as with `POST /orders/drafts`.
    """
    at = command.at
    if at.method != "POST" or at.parameters:
        return None
    for row in rows:
        above = row.at.segments[:-1]
        is_above = above == at.segments or (command.new and above == at.segments[:-1])
        is_below = is_above and row.at.segments[-1].startswith("{")
        follows = set(command.decider.recorded_types) & set(row.projection.event_types)
        if is_below and follows:
            return row
    return None
